"""Chroma in a process of its own. It asks nobody who they are, so it listens on loopback only."""

import asyncio
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from cli.stack.component import Component, http_answers
from cli.stack.errors import StackError
from cli.stack.layout import PROJECT_ROOT
from cli.stack.ports import LOOPBACK
from cli.stack.process import Launch

_SEGMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Chroma(Component):
    name = "chroma"
    title = "Chroma"

    def __init__(self, directory: Path, *, port: int, log: Path) -> None:
        super().__init__(log)
        self._directory = directory
        self._port = port

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    async def prepare(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(_remove_dropped, self._directory)

    def launch(self) -> Launch:
        return Launch(
            argv=[
                sys.executable,
                "-m",
                "cli.stack.servers.chroma",
                self._directory,
                LOOPBACK,
                str(self._port),
            ],
            log=self.log,
            environment={"ANONYMIZED_TELEMETRY": "False"},
            directory=PROJECT_ROOT,
        )

    async def probe(self) -> bool:
        return await http_answers(self._port, "/api/v2/heartbeat")

    def diagnose(self, exit_code: int | None) -> StackError:
        output = self.output().lower()
        if exit_code and any(word in output for word in ("malformed", "not a database", "migration", "corrupt")):
            return StackError(
                f"The vectors in {self._directory} are damaged.",
                f"They can be made again: `rm -r {self._directory}`, start: they are filled again from Postgres. "
                f"Its log: {self.log}",
            )
        return super().diagnose(exit_code)


def _remove_dropped(directory: Path) -> None:
    """Chroma leaves the vectors of collections that were dropped on the disk (chroma-core/chroma#5259)."""
    database = directory / "chroma.sqlite3"
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            kept = {row[0] for row in connection.execute("SELECT id FROM segments")}
    except sqlite3.Error:
        return  # Chroma itself will say what is wrong with it
    for path in directory.iterdir():
        if path.is_dir() and _SEGMENT.fullmatch(path.name) and path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
