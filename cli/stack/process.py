"""One child process: started so that it never outlives its parent, with its output in a log file."""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.stack import guard

_PR_SET_PDEATHSIG = 1
_MAX_LOG_BYTES = 16 << 20
# Resolved before any fork: looking a symbol up in the child could wait for a lock nobody there will release.
_prctl: Callable[[int, int], int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class Launch:
    """What to run, and how it likes to be told to stop."""

    argv: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to this process's own environment."""
    directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    user: int | None = None
    """Run as this uid and gid; only root can ask for it."""


class Process:
    """A running child. Start it from a thread that lives as long as the process: on Linux the kernel ends the
    child when the *thread* that started it ends."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.started_at = time.time()
        rotate(launch.log)
        with launch.log.open("ab") as log:
            self.log_start = log.tell()
            self._popen = subprocess.Popen(
                [str(part) for part in launch.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **launch.environment},
                cwd=launch.directory,
                # Ctrl-C in the terminal reaches the supervisor alone, which stops the children in order.
                start_new_session=True,
                preexec_fn=_die_with(os.getpid(), launch.stop_signal),
                user=launch.user,
                group=launch.user,
                extra_groups=[] if launch.user else None,
            )
        guard.watch(self._popen.pid, launch.stop_signal)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._popen.poll()

    async def stop(self, within: float) -> bool:
        """Ask it to stop, and kill it when it has not done so in time. True if it stopped by itself."""
        self.signal(self.launch.stop_signal)
        if await self.wait(within) is not None:
            return True
        self.kill()
        await self.wait(5)
        return False

    async def wait(self, within: float) -> int | None:
        deadline = time.monotonic() + within
        while self.exit_code is None and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.02)
        if self.exit_code is not None:
            guard.forget(self.pid)
        return self.exit_code

    def signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """End it and what it started, at once."""
        if self.exit_code is None:
            os.killpg(self.pid, signal.SIGKILL)


def _die_with(parent: int, number: signal.Signals) -> Callable[[], None] | None:
    prctl = _prctl  # the child must not look anything up
    if prctl is None:
        return None

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before the call above took hold
            os._exit(1)

    return in_child


def rotate(log: Path) -> None:
    """Keep one older piece of a log that has grown long. Its writers append, so they go on at the new end."""
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
