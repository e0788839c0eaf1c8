"""The embedded language model, served by llama.cpp in a process of its own."""

import sys
from pathlib import Path

from cli.stack.component import Component, http_answers
from cli.stack.layout import PROJECT_ROOT
from cli.stack.ports import LOOPBACK
from cli.stack.process import Launch


class LanguageModel(Component):
    name = "llm"
    title = "The language model's server"
    ready_within = 180.0  # a slow disk reads a gigabyte
    stop_within = 3.0

    def __init__(self, weights: Path, *, model: str, port: int, api_key: str, log: Path) -> None:
        super().__init__(log)
        self._weights = weights
        self._port = port
        self._api_key = api_key
        self.model = model

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}/v1"

    def launch(self) -> Launch:
        return Launch(
            argv=[
                sys.executable, "-m", "cli.stack.servers.llm",
                self._weights, self.model, LOOPBACK, str(self._port),
            ],
            log=self.log,
            # Passive waiting: with spinning threads a busy machine drops from 20 tokens a second to 2.
            environment={"LLM_API_KEY": self._api_key, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
            directory=PROJECT_ROOT,
        )  # fmt: skip

    async def probe(self) -> bool:
        return await http_answers(self._port, "/health")
