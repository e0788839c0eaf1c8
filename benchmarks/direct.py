"""Executions submitted and watched by the library, past the API: for what is measured behind it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from benchmarks.stack import Measured
from shared.database.session import Scope
from shared.executions.submit import Submission, submit
from shared.kit.json import JsonObject, loads
from shared.web.resources import Resources, open_resources
from shared.workflow.states import ExecutionKind

_LOOK = 0.02
_COUNTS = "SELECT status, count(*) FROM executions WHERE id = ANY ($1) GROUP BY status"


class Direct:
    """Works for one tenant; sees the database as its owner does. Watching must cost little, or it would be measured."""

    def __init__(self, resources: Resources, database: Any, tenant_id: UUID) -> None:
        self.resources = resources
        self.database = database
        self.scope = Scope(tenant_id)

    async def submit_graph(self, graph: JsonObject, count: int = 1) -> list[UUID]:
        return await self.submit({"graph": graph, "agents": {}, "models": {}, "tools": {}}, {}, count)

    async def submit(self, spec: JsonObject, inputs: JsonObject, count: int) -> list[UUID]:
        """So many at once, each in a transaction of its own."""
        return list(await asyncio.gather(*(self._submit(spec, inputs) for _ in range(count))))

    async def _submit(self, spec: JsonObject, inputs: JsonObject) -> UUID:
        assert self.scope.tenant_id
        wanted = Submission(self.scope.tenant_id, ExecutionKind.WORKFLOW, "benchmark", spec, inputs)
        async with self.resources.database.write(self.scope) as session:
            return (await submit(session, wanted, self.resources.doorbell.ring)).id

    async def snapshot(self, execution_id: str) -> JsonObject:
        """What an execution runs on, to start more of the same."""
        return loads(
            await self.database.fetchval("SELECT spec::text FROM executions WHERE id = $1", UUID(execution_id))
        )

    async def all_succeeded(self, ids: Sequence[UUID], within: float = 600) -> None:
        deadline = time.monotonic() + within
        while True:
            counts = dict(await self.database.fetch(_COUNTS, ids))
            if counts.get("succeeded") == len(ids):
                return
            if {"failed", "cancelled"} & counts.keys() or time.monotonic() > deadline:
                raise RuntimeError(f"not all executions have succeeded: {counts}")
            await asyncio.sleep(_LOOK)


@asynccontextmanager
async def direct(measured: Measured) -> AsyncGenerator[Direct]:
    """For a tenant of its own."""
    client = await measured.product.sign_up()
    async with direct_for(measured, UUID((await client.get("/users/me"))["tenant"]["id"])) as made:
        yield made


@asynccontextmanager
async def direct_for(measured: Measured, tenant_id: UUID) -> AsyncGenerator[Direct]:
    database: Any = await asyncpg.connect(measured.components["postgres"].url)
    try:
        async with open_resources(measured.settings) as resources:
            yield Direct(resources, database, tenant_id)
    finally:
        await database.close()
