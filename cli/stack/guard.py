"""Ends the children of a supervisor that was killed, where the kernel does not do it (all but Linux).

A small process reads a pipe that only the supervisor can write to. When the pipe closes, the supervisor is
gone, and every child it had told about is stopped.
"""

import os
import signal
import subprocess
import sys
import time

_PATIENCE = 10.0


class Guard:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True, text=True
        )

    def watch(self, pid: int, number: signal.Signals) -> None:
        self._tell(f"+{pid} {int(number)}")

    def forget(self, pid: int) -> None:
        self._tell(f"-{pid}")

    def _tell(self, line: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()


_guard: Guard | None = None


def watch(pid: int, number: signal.Signals) -> None:
    """Have a child ended when this process ends, however that happens. Nothing to do on Linux."""
    global _guard
    if sys.platform == "linux":
        return
    _guard = _guard or Guard()
    _guard.watch(pid, number)


def forget(pid: int) -> None:
    """The child has ended; its number may soon belong to another process."""
    if _guard is not None:
        _guard.forget(pid)


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def run() -> None:
    """The guarding process."""
    children: dict[int, int] = {}
    for line in sys.stdin:
        pid, _, number = line[1:].partition(" ")
        if line.startswith("+"):
            children[int(pid)] = int(number)
        else:
            children.pop(int(pid), None)
    deadline = time.monotonic() + _PATIENCE
    alive = [pid for pid, number in children.items() if _signal(pid, number)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.1)
        alive = [pid for pid in alive if _signal(pid, 0)]
    for pid in alive:
        _signal(pid, signal.SIGKILL)


if __name__ == "__main__":
    run()
