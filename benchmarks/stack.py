"""The product under measurement: real components with their durable settings, on an empty data directory."""

import asyncio
import base64
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from cli.stack.chroma import Chroma
from cli.stack.component import Component
from cli.stack.environment import application_url
from cli.stack.ports import find_free
from cli.stack.postgres import Postgres
from cli.stack.product import Worker
from cli.stack.valkey import Valkey
from shared.database.migrate import migrate
from shared.kit.settings import Settings
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Composition, Product, run_product


@dataclass(frozen=True)
class Measured:
    product: Product
    settings: Settings
    components: dict[str, Component]

    @property
    def pids(self) -> list[int]:
        """Everything that works for an execution, the fake provider left out."""
        parts = (*self.components.values(), *self.product.web, *self.product.workers)
        return [part.process.pid for part in parts if part.process is not None]


@asynccontextmanager
async def measured_stack(
    provider: FakeModelServer, *, composition: Composition = "one", workers: int = 1, lease: float = 30
) -> AsyncGenerator[Measured]:
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as name:
        home = Path(name)
        components = _components(home)
        try:
            await asyncio.gather(*(component.start() for component in components.values()))
            settings = await _settings(components)
            async with run_product(
                settings,
                home,
                provider,
                composition=composition,
                workers=workers,
                QUARTERDECK_LEASE_SECONDS=str(lease),
            ) as product:
                await asyncio.gather(*(_warm(worker) for worker in product.workers))
                yield Measured(product, settings, components)
        finally:
            await asyncio.gather(*(component.stop() for component in components.values()))


async def _warm(worker: Worker) -> None:
    """A worker takes work while it still loads what agents need. That is measured as the cold start, not here."""
    while "crewAI is loaded" not in worker.log.read_text(errors="replace"):  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.2)


def _components(home: Path) -> dict[str, Component]:
    def password() -> str:
        return secrets.token_urlsafe(16)

    return {
        "postgres": Postgres(home / "pg", port=find_free(), password=password(), log=home / "postgres.log"),
        "valkey": Valkey(home / "valkey", port=find_free(), password=password(), log=home / "valkey.log"),
        "chroma": Chroma(home / "chroma", port=find_free(), log=home / "chroma.log"),
    }


async def _settings(components: dict[str, Component]) -> Settings:
    owner_url = components["postgres"].url
    app_url = application_url(owner_url, secrets.token_urlsafe(16))
    await migrate(owner_url, app_url)
    return Settings(
        database_url=SecretStr(owner_url),
        app_database_url=SecretStr(app_url),
        broker_url=SecretStr(components["valkey"].url),
        chroma_url=components["chroma"].url,
        master_keys=SecretStr(f"bench:{base64.b64encode(os.urandom(32)).decode()}"),
    )


async def baseline(module: str, *arguments: object) -> float:
    """Runs a baseline in a process of its own; gives the figure it prints last."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"benchmarks.baselines.{module}",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the baseline {module} failed with exit code {process.returncode}")
    return float(output.split()[-1])
