"""Worker processes for drills: started, watched, and hurt on purpose."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from cli.stack.ports import find_free
from shared.database.session import Scope
from shared.executions.cancel import cancel
from shared.executions.pause import pause, resume
from shared.executions.submit import Ring, submit
from shared.kit.settings import Settings
from shared.tasks.doorbell import WAKE_QUEUE
from shared.workflow.states import Lane
from tests.executions.support import LedgerView, submission
from tests.fixtures.stack import ROOT
from tests.support.platform import Account, Platform
from tests.worker.drill_jobs import KIND

LEASE = 2.0
# Drills are done in the lane of documents, by workers that run nothing else: they need not load crewAI.
LANE = Lane.INGESTION


@dataclass
class Process:
    """One worker process. `port` answers /metrics."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self, within: float) -> int:
        """Its exit code."""
        return await asyncio.wait_for(self.process.wait(), within)

    async def metric(self, name: str) -> float:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5)).text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.split("{")[0].split()[0] == name)

    async def executions(self) -> int:
        """How many it holds."""
        return int(await self.metric("quarterdeck_worker_executions"))

    async def ready(self) -> None:
        async with httpx.AsyncClient() as client:
            while True:
                assert self.process.returncode is None, self.log.read_text()[-3000:]
                try:
                    if (await client.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.05)


@dataclass
class Yard:
    """Where drills are held."""

    platform: Platform
    account: Account
    view: LedgerView
    directory: Path
    processes: list[Process] = field(default_factory=list[Process])

    async def start(self, **environment: str) -> Process:
        """A worker that is ready."""
        port = find_free()
        log = self.directory / f"worker-{port}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.worker.drill",
                cwd=ROOT, stdout=output, stderr=output,
                env={**os.environ, **_environment(self.platform.settings, port), **environment},
            )  # fmt: skip
        started = Process(process, port, log)
        self.processes.append(started)
        await asyncio.wait_for(started.ready(), 120)
        return started

    async def start_many(self, count: int, **environment: str) -> list[Process]:
        return list(await asyncio.gather(*(self.start(**environment) for _ in range(count))))

    async def submit(
        self,
        steps: int = 1,
        seconds: float = 0.1,
        ring: Ring | None = None,
        limited_by: UUID | None = None,
        **spec: Any,
    ) -> UUID:
        """Queues a drill, as a service would: committed, then rung for. `limited_by` is a workflow with a limit."""
        given = {"steps": steps, "seconds": seconds, "journal": str(self.directory / "journal"), **spec}
        return await self.submit_kind(KIND, given, ring, limited_by)

    async def submit_kind(
        self, kind: str, given: dict[str, Any], ring: Ring | None = None, limited_by: UUID | None = None
    ) -> UUID:
        resources = self.platform.resources
        async with resources.database.write(Scope(self.account.tenant_id)) as session:
            asked = submission(self.account, kind=kind, lane=LANE, spec=given, concurrency_key=limited_by)
            return (await submit(session, asked, ring or resources.doorbell.ring)).id

    def begun(self) -> Counter[tuple[UUID, int]]:
        """How often each step was really begun, by the workers' own account."""
        journal = self.directory / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return Counter((UUID(line.split()[0]), int(line.split()[1])) for line in lines)

    async def have_begun(self, steps: int) -> None:
        """Waits until so many steps have been begun."""

        async def so_many() -> bool:
            return sum(self.begun().values()) >= steps

        await eventually(so_many, within=30)

    async def in_mid_step(self, workers: Sequence[Process]) -> Process:
        """A worker that is in the middle of a step, stopped there: whatever happens to it now interrupts that step."""
        ended = time.monotonic() + 30
        while time.monotonic() < ended:
            for worker in workers:
                worker.signal(signal.SIGSTOP)
                await asyncio.sleep(0.1)  # what it has sent to the ledger is written all the same
                if self._begun_by(worker.pid) - await self.succeeded_steps():
                    return worker
                worker.signal(signal.SIGCONT)
                await asyncio.sleep(0.05)
        raise AssertionError("no worker came to be in the middle of a step")

    def _begun_by(self, pid: int) -> set[tuple[UUID, int]]:
        lines = [line.split() for line in (self.directory / "journal").read_text().splitlines()]
        return {(UUID(execution), int(number)) for execution, number, by in lines if int(by) == pid}

    async def running(self, *ids: UUID) -> None:
        await self.has_status("running", *ids)

    async def ask_to_cancel(self, execution_id: UUID) -> str:
        """As the API does; gives the status after that."""
        resources = self.platform.resources
        async with resources.database.write(Scope(self.account.tenant_id)) as session:
            return (await cancel(session, execution_id, resources.redis)).status

    async def pause(self, execution_id: UUID) -> str:
        resources = self.platform.resources
        async with resources.database.write(Scope(self.account.tenant_id)) as session:
            return (await pause(session, execution_id, resources.redis)).status

    async def resume(self, execution_id: UUID) -> str:
        resources = self.platform.resources
        async with resources.database.write(Scope(self.account.tenant_id)) as session:
            return (await resume(session, execution_id, resources.redis, resources.doorbell.ring)).status

    async def has_status(self, status: str, *ids: UUID, within: float = 10) -> None:
        """Waits until all these have it."""

        async def all_have_it() -> bool:
            return all([await self.status(id_) == status for id_ in ids])

        await eventually(all_have_it, within)

    async def status(self, execution_id: UUID) -> str:
        return (await self.view.execution(execution_id))["status"]

    async def open_executions(self) -> int:
        return await self.view.connection.fetchval(
            "SELECT count(*) FROM executions WHERE tenant_id = $1 AND status IN ('queued', 'running')",
            self.account.tenant_id,
        )

    async def succeeded_steps(self) -> set[tuple[UUID, int]]:
        """What is on record as done, of all drills."""
        rows = await self.view.connection.fetch(
            "SELECT s.execution_id, s.node FROM task_executions s JOIN executions e ON e.id = s.execution_id"
            " WHERE e.tenant_id = $1 AND s.status = 'succeeded'",
            self.account.tenant_id,
        )
        return {(row["execution_id"], int(row["node"].removeprefix("step-"))) for row in rows}

    async def all_ended(self, ids: Sequence[UUID], within: float) -> list[dict[str, Any]]:
        """The executions, once every one has reached its end."""

        async def ended() -> bool:
            open_ones = await self.view.connection.fetchval(
                "SELECT count(*) FROM executions WHERE id = ANY ($1)"
                " AND status NOT IN ('succeeded', 'failed', 'cancelled')",
                list(ids),
            )
            return open_ones == 0

        await eventually(ended, within)
        return [await self.view.execution(id_) for id_ in ids]

    async def close(self) -> None:
        for each in self.processes:
            if each.process.returncode is None:
                each.process.kill()
            await each.process.wait()


async def busiest(workers: Sequence[Process]) -> Process:
    load = {await worker.executions(): worker for worker in workers}
    return load[max(load)]


@asynccontextmanager
async def open_yard(platform: Platform, account: Account, view: LedgerView, directory: Path) -> AsyncGenerator[Yard]:
    await view.run("UPDATE executions SET status = 'cancelled' WHERE status IN ('queued', 'running')")
    await platform.resources.redis.delete(WAKE_QUEUE)
    yard = Yard(platform, account, view, directory)
    try:
        yield yard
    finally:
        await yard.close()


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 10) -> float:
    """Waits for it, and says how long it took."""
    started = time.monotonic()
    while not await condition():
        assert time.monotonic() - started < within, f"not within {within} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def _environment(settings: Settings, port: int) -> dict[str, str]:
    return {
        "APP_DATABASE_URL": settings.app_database_url.get_secret_value(),
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "CHROMA_URL": settings.chroma_url,
        "QUARTERDECK_MASTER_KEYS": settings.master_keys.get_secret_value(),
        "QUARTERDECK_LEASE_SECONDS": str(LEASE),
        "QUARTERDECK_WORKER_CAPACITY": "0",
        "QUARTERDECK_WORKER_INGESTION_CAPACITY": "20",
        "QUARTERDECK_WORKER_HTTP_ADDRESS": f"127.0.0.1:{port}",
        "QUARTERDECK_LOG_FORMAT": "console",
    }
