"""Chroma in a process of its own. It asks nobody who they are, so it listens on loopback only."""

import sys
from pathlib import Path

from cli.stack.component import Component, http_answers
from cli.stack.errors import StackError
from cli.stack.layout import PROJECT_ROOT
from cli.stack.ports import LOOPBACK
from cli.stack.process import Launch


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
                f"They can be made again: `rm -r {self._directory}`, start, re-index the knowledge bases. "
                f"Its log: {self.log}",
            )
        return super().diagnose(exit_code)
