"""A tenant's knowledge through the API, and a worker in this process that does what its executions ask for."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
from aiohttp import ClientSession, web
from sqlalchemy import text

from services.knowledge_base import tasks as _tasks
from services.knowledge_base.module import SERVICE
from services.orchestration.engine.ports import Ledger
from services.orchestration.engine.runner import ExecutionRunner
from services.orchestration.worker.composition import open_outside
from services.orchestration.worker.jobs import job_handlers
from services.orchestration.worker.worker import Worker
from shared.database.session import Scope
from shared.knowledge.index import VectorIndex
from shared.web.resources import Resources
from tests.support.platform import Account, Platform

__all__ = ["_tasks"]  # imported for the job it registers

PATIENCE = 60


@dataclass
class Library:
    """One account's view of the knowledge_base service."""

    platform: Platform
    account: Account
    http: httpx.AsyncClient

    @classmethod
    async def of(cls, platform: Platform, account: Account) -> "Library":
        return cls(platform, account, await platform.client(SERVICE, account))

    @property
    def scope(self) -> Scope:
        return Scope(self.account.tenant_id)

    async def base(self, name: str = "Handbook", **fields: Any) -> str:
        answer = await self.http.post("/api/v1/knowledge-bases", json={"name": name, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def upload(self, base: str, *named: tuple[str, bytes]) -> httpx.Response:
        files = [("files", (name, data)) for name, data in named]
        return await self.http.post(f"/api/v1/knowledge-bases/{base}/documents", files=files)

    async def add(self, base: str, text_: str, name: str = "note") -> str:
        answer = await self.http.post(
            f"/api/v1/knowledge-bases/{base}/text-content", json={"name": name, "text": text_}
        )
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    async def document(self, document: str) -> dict[str, Any]:
        answer = await self.http.get(f"/api/v1/documents/{document}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def documents(self, base: str, **params: Any) -> dict[str, dict[str, Any]]:
        answer = await self.http.get(f"/api/v1/knowledge-bases/{base}/documents", params=params)
        assert answer.status_code == 200, answer.text
        return {item["name"]: item for item in answer.json()["items"]}

    async def processed(self, document: str) -> dict[str, Any]:
        """The document when it is ready or failed."""
        async with asyncio.timeout(PATIENCE):
            while (found := await self.document(document))["status"] in ("pending", "processing"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found

    async def ready(self, base: str, text_: str, name: str = "note") -> str:
        document = await self.add(base, text_, name)
        found = await self.processed(document)
        assert found["status"] == "ready", found["error"]
        return document

    async def ask(self, query: str, *bases: str, top_k: int = 5, **fields: Any) -> list[dict[str, Any]]:
        return (await self.answer(query, *bases, top_k=top_k, **fields))["passages"]

    async def answer(self, query: str, *bases: str, **fields: Any) -> dict[str, Any]:
        body = {"knowledge_base_ids": list(bases), "query": query, **fields}
        answer = await self.http.post("/api/v1/knowledge-bases/query", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def sql(self, statement: str, **parameters: Any) -> list[Any]:
        async with self.platform.resources.database.read(self.scope) as session:
            return list(await session.execute(text(statement), parameters))

    async def chunk_ids(self, document: str) -> list[UUID]:
        rows = await self.sql("SELECT id FROM chunks WHERE document_id = :document ORDER BY ordinal", document=document)
        return [row.id for row in rows]

    async def settled(self, within: float = PATIENCE) -> None:
        """Nothing of this tenant is queued or running, and nothing waits to be purged."""
        open_ = (
            "SELECT (SELECT count(*) FROM executions WHERE status IN ('queued', 'running'))"
            " + (SELECT count(*) FROM knowledge_purges)"
        )
        async with asyncio.timeout(within):
            while (await self.sql(open_))[0][0]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def working(resources: Resources, lease: float = 30.0) -> AsyncGenerator[None]:
    """The product's own worker, for ingestion alone, and without Celery: it looks for work all the time."""
    handlers = job_handlers(resources)
    changes = {"worker_capacity": 0, "worker_ingestion_capacity": 4, "lease_seconds": lease}
    settings = resources.settings.model_copy(update=changes)
    async with open_outside(replace(resources, settings=settings)) as outside:

        def make_runner(ledger: Ledger) -> ExecutionRunner:
            return ExecutionRunner(ledger, outside, handlers)

        worker = Worker(settings, resources.redis, resources.doorbell, make_runner)
        leave = asyncio.Event()
        tasks = [asyncio.create_task(worker.run(_until(leave))), asyncio.create_task(_listen(worker))]
        try:
            yield
        finally:
            leave.set()
            await tasks[0]
            tasks[1].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tasks[1]


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def _listen(worker: Worker) -> None:
    while True:
        worker.hear()
        await asyncio.sleep(0.05)


class Valve:
    """Stands before Chroma and can be shut, or hold back answers to what was done."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.shut = False
        self.held: str | None = None
        self.holding = asyncio.Event()
        self.requests: list[str] = []
        self.url = ""

    async def forward(self, request: web.Request) -> web.Response:
        operation = request.path.rsplit("/", 1)[-1]
        self.requests.append(operation)
        if self.shut:
            return web.json_response({"error": "shut"}, status=503)
        body = await request.read()
        async with (
            ClientSession() as session,
            session.request(
                request.method, self._target + request.path, data=body, headers={"Content-Type": "application/json"}
            ) as answer,
        ):
            content = await answer.read()
        while self.held == operation:
            self.holding.set()
            await asyncio.sleep(0.02)
        return web.Response(status=answer.status, body=content, content_type="application/json")


@asynccontextmanager
async def valve(target: str) -> AsyncGenerator[Valve]:
    made = Valve(target)
    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{path:.*}", made.forward)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = site.name
    try:
        yield made
    finally:
        made.held, made.shut = None, False
        await runner.cleanup()


@asynccontextmanager
async def behind(valve_: Valve) -> AsyncGenerator[VectorIndex]:
    index = VectorIndex(valve_.url)
    try:
        yield index
    finally:
        await index.close()
