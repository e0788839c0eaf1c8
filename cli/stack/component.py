"""What every process of the stack has in common: start it, know when it answers, say why it did not."""

import asyncio
import time
from abc import ABC, abstractmethod
from pathlib import Path

from cli.stack.diagnosis import explain
from cli.stack.errors import StackError
from cli.stack.files import tail
from cli.stack.process import Launch, Process


class Component(ABC):
    """One process. `start` returns when it answers; it can be started again after it has ended."""

    name: str
    title: str
    ready_within: float = 30.0
    stop_within: float = 10.0

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: Process | None = None
        self.restarts = 0
        self._log_start = 0  # this start's first byte in the log

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.exit_code is None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it, with the password if it takes one."""

    @property
    def port(self) -> int | None:
        return None

    @abstractmethod
    def launch(self) -> Launch: ...

    @abstractmethod
    async def probe(self) -> bool:
        """Whether it answers now. Must return quickly."""

    async def prepare(self) -> None:
        """Whatever must be there before the process: directories, configuration, what a crash left behind."""
        return

    def diagnose(self, exit_code: int | None) -> StackError:
        """What to tell the person when it did not come up; `None` means it runs but does not answer."""
        return explain(self.title, exit_code, self.output(), self.log)

    def output(self) -> str:
        """What it has logged since it was last started."""
        size = self.log.stat().st_size if self.log.exists() else 0
        return tail(self.log, min(16_384, max(0, size - self._log_start)))

    async def start(self) -> None:
        await self.prepare()
        self.process = Process(self.launch())
        self._log_start = self.process.log_start
        try:
            await self._until_it_answers(self.process)
        except BaseException:
            self.process.kill()
            raise

    async def stop(self) -> None:
        if self.process is not None and self.process.exit_code is None:
            await self.process.stop(self.stop_within)

    async def _until_it_answers(self, process: Process) -> None:
        deadline = time.monotonic() + self.ready_within
        pause = 0.01
        while not await self.probe():
            if process.exit_code is not None:
                raise self.diagnose(process.exit_code)
            if time.monotonic() > deadline:
                raise self.diagnose(None)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)


async def http_answers(port: int, path: str, host: str = "127.0.0.1") -> bool:
    """Whether a plain GET gives 200. By hand: an HTTP client is 30 MB this process would keep for good."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        status_line = await asyncio.wait_for(reader.readline(), 2)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    return status_line.split()[1:2] == [b"200"]
