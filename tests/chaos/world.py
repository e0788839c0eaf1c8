"""The product as real processes that may be killed, frozen and restarted, and the systems outside it."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import psutil

from cli.stack import product
from cli.stack.errors import StackError
from cli.stack.ports import find_free
from cli.stack.postgres import Postgres
from cli.stack.process import Launch
from cli.stack.product import WebProcess, one_process
from cli.stack.valkey import Valkey
from shared.database.url import asyncpg_url
from shared.kit.failpoints import POINTS
from shared.kit.settings import Settings
from tests.fakes.http_system import FakeHttpSystem
from tests.fakes.model_server import FakeModelServer
from tests.fixtures.stack import Stack
from tests.support.platform import create_database, settings_for

LEASE = 4.0
WORKERS = 3
_RESTART_WITHIN = 3.0
# A machine with all this on it may take its time for a connection.
_PATIENCE = 20.0


class Worker(product.Worker):
    """The product's own worker, which can do drill jobs besides: those that kill it."""

    def launch(self) -> Launch:
        usual = super().launch()
        return Launch(
            argv=[sys.executable, "-m", "tests.worker.drill"],
            log=usual.log,
            environment=usual.environment,
            directory=usual.directory,
        )


@dataclass(frozen=True)
class Fault:
    """Something done on purpose at `at` (seconds since the epoch); `held` are executions that it took a worker from."""

    kind: str
    at: float
    what: str
    held: tuple[UUID, ...] = ()


@dataclass
class World:
    settings: Settings
    directory: Path
    postgres: Postgres
    valkey: Valkey
    provider: FakeModelServer
    system: FakeHttpSystem
    api: WebProcess
    environment: dict[str, str]
    dice: random.Random
    workers: list[Worker] = field(default_factory=list[Worker])
    faults: list[Fault] = field(default_factory=list[Fault])
    # By process: writes refused under an old epoch, and executions let go because the lease was lost.
    refused: dict[int, tuple[float, float]] = field(default_factory=dict[int, tuple[float, float]])
    calm: bool = False
    _stopping: bool = False
    _doomed: dict[Worker, str] = field(default_factory=dict[Worker, str])

    @property
    def url(self) -> str:
        return self.api.url

    def note(self, kind: str, what: str, held: tuple[UUID, ...] = ()) -> None:
        self.faults.append(Fault(kind, time.time(), what, held))

    # --- workers ------------------------------------------------------------------------------------------

    async def start_worker(self, **environment: str) -> Worker:
        log = self.directory / f"worker-{len(list(self.directory.glob('worker-*.log')))}.log"
        worker = Worker(environment={**self.environment, **environment}, log=log)
        await worker.start()
        self.workers.append(worker)
        return worker

    async def keep_workers(self) -> None:
        """As an operator's supervisor does: there are always so many, whatever ends them."""
        while not self._stopping:
            for worker in list(self.workers):
                if worker.process is not None and worker.process.exit_code is not None:
                    self.workers.remove(worker)
                    if (point := self._doomed.pop(worker, None)) is not None:
                        self.note("failpoint", point)
            while len(self.workers) < WORKERS and not self._stopping:
                await asyncio.sleep(self.dice.uniform(0, 1))
                with contextlib.suppress(StackError):  # it may not come up while the database is away
                    await self._start_another()
            await asyncio.sleep(0.2)

    async def _start_another(self) -> None:
        """Now and then a worker is born that will die at an exact place."""
        if self.calm or self.dice.random() < 0.4:
            await self.start_worker()
            return
        point = f"{self.dice.choice(list(POINTS))}=kill@{self.dice.randint(1, 40)}"
        self._doomed[await self.start_worker(QUARTERDECK_FAILPOINTS=point)] = point

    def ended(self, worker: Worker) -> None:
        """It was ended by somebody, and not by its failpoint."""
        self._doomed.pop(worker, None)

    def live_worker(self) -> Worker | None:
        alive = [worker for worker in self.workers if worker.running]
        return self.dice.choice(alive) if alive else None

    async def held_by(self, worker: Worker) -> tuple[UUID, ...]:
        assert worker.process is not None
        rows = await self.query(
            "SELECT id FROM executions WHERE status = 'running' AND worker LIKE $1", f"%:{worker.process.pid}:%"
        )
        return tuple(row["id"] for row in rows)

    async def read_refusals(self) -> None:
        """As every live worker has counted them by now."""
        for worker in self.workers:
            if worker.process is None or not worker.running:
                continue
            with contextlib.suppress(OSError, TimeoutError, ValueError):
                self.refused[worker.process.pid] = (
                    await _metric(worker.port, "quarterdeck_ledger_writes_rejected_total"),
                    await _metric(worker.port, "quarterdeck_leases_lost_total"),
                )

    # --- the database, from outside -----------------------------------------------------------------------

    async def query(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        url = asyncpg_url(self.settings.database_url.get_secret_value()).set(drivername="postgresql")
        connection: Any = await asyncpg.connect(url.render_as_string(hide_password=False), timeout=_PATIENCE)  # pyright: ignore
        try:
            await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
            return [dict(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    def api_memory(self) -> float:
        """MB."""
        assert self.api.process is not None
        return psutil.Process(self.api.process.pid).memory_info().rss / 1e6

    async def stop(self) -> None:
        self._stopping = True
        for worker in self.workers:
            if worker.process is not None and worker.process.exit_code is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGCONT)
        await asyncio.gather(*(part.stop() for part in (*self.workers, self.api)))
        await self.valkey.stop()
        await self.postgres.stop()


async def _metric(port: int, name: str) -> float:
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 1)
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = (await asyncio.wait_for(reader.read(), 3)).decode()
    finally:
        writer.close()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@asynccontextmanager
async def open_world(directory: Path, seed: int) -> AsyncGenerator[World]:
    postgres = Postgres(directory / "postgres", port=find_free(), password="chaos", log=directory / "postgres.log")
    valkey = Valkey(directory / "valkey", port=find_free(), password="chaos", log=directory / "valkey.log")
    provider = FakeModelServer(latency_ms=150, journal=directory / "provider.journal")
    with provider, FakeHttpSystem() as system:
        await asyncio.gather(postgres.start(), valkey.start())
        here = Stack(postgres.url, valkey.url, "http://127.0.0.1:9", str(directory))
        settings = settings_for(here, *await create_database(here, "chaos"))
        environment = _environment(settings, provider, system)
        (api,) = one_process(find_free(), environment, directory)
        world = World(settings, directory, postgres, valkey, provider, system, api, environment, random.Random(seed))
        try:
            await api.start()
            await asyncio.gather(*(world.start_worker() for _ in range(WORKERS)))
            yield world
        finally:
            await world.stop()


def _environment(settings: Settings, provider: FakeModelServer, system: FakeHttpSystem) -> dict[str, str]:
    hosts = ",".join(url.removeprefix("http://") for url in (provider.url, system.url))
    many = "1000000/minute"
    return {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "APP_DATABASE_URL": settings.app_database_url.get_secret_value(),
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "CHROMA_URL": settings.chroma_url,
        "LLM_BASE_URL": provider.base_url,
        "LLM_API_KEY": "local-key",
        "QUARTERDECK_MASTER_KEYS": settings.master_keys.get_secret_value(),
        "QUARTERDECK_ALLOWED_HOSTS": hosts,
        "QUARTERDECK_LEASE_SECONDS": str(LEASE),
        "QUARTERDECK_WORKER_CAPACITY": "30",
        "QUARTERDECK_RATE_LIMIT": many,
        "QUARTERDECK_RATE_LIMIT_ANONYMOUS": many,
        "QUARTERDECK_RATE_LIMIT_CREDENTIALS": many,
    }
