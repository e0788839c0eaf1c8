"""Start one embedded component and use it from ordinary code: tests and benchmarks do."""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

from cli.stack.chroma import Chroma
from cli.stack.component import Component
from cli.stack.ports import find_free
from cli.stack.postgres import Postgres
from cli.stack.valkey import Valkey


@dataclass(frozen=True)
class Running:
    """A component that answers. It ends with this process at the latest."""

    component: Component

    @property
    def url(self) -> str:
        return self.component.url

    @property
    def pid(self) -> int:
        assert self.component.process is not None
        return self.component.process.pid

    def stop(self) -> None:
        asyncio.run(self.component.stop())

    def kill(self) -> None:
        """kill -9, then wait until it is gone."""
        assert self.component.process is not None
        self.component.process.kill()
        asyncio.run(self.component.process.wait(5))

    def restart(self) -> None:
        """Start it again on the same port and data, after `stop` or `kill`."""
        asyncio.run(self.component.start())


def start_postgres(directory: Path, *, durable: bool = True, password: str | None = None) -> Running:
    """`url` is the owner's, of one empty database. Not durable is faster, and loses data in a power cut."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "postgres.log"
    password = password or secrets.token_urlsafe(16)
    return _start(Postgres(directory, port=find_free(), password=password, log=log, durable=durable))


def start_valkey(directory: Path) -> Running:
    directory.mkdir(parents=True, exist_ok=True)
    return _start(Valkey(directory, port=find_free(), password=secrets.token_urlsafe(16), log=directory / "valkey.log"))


def start_chroma(directory: Path) -> Running:
    directory.mkdir(parents=True, exist_ok=True)
    return _start(Chroma(directory, port=find_free(), log=directory / "chroma.log"))


def start_all(*components: Component) -> list[Running]:
    """Start several side by side; if one fails, none stays."""
    asyncio.run(_start_together(components))
    return [Running(component) for component in components]


def _start(component: Component) -> Running:
    return start_all(component)[0]


async def _start_together(components: tuple[Component, ...]) -> None:
    results = await asyncio.gather(*(component.start() for component in components), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        await asyncio.gather(*(component.stop() for component in components))
        raise failures[0]
