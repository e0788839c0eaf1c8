from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.execution_monitoring.module import SERVICE as MONITORING
from services.orchestration.adapters.ledger.connections import Connections
from services.orchestration.module import SERVICE as ORCHESTRATION
from services.orchestration.worker.pruning import Pruner
from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from shared.kit.clock import utcnow
from tests.executions.support import LedgerView, owner_connection
from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform

KEEP_ALL: dict[str, Any] = {
    "max_running": None,
    "delta_days": None,
    "event_days": None,
    "call_days": None,
    "output_days": None,
    "execution_days": None,
}


@pytest.fixture
async def view(platform: Platform) -> AsyncGenerator[LedgerView]:
    connection = await owner_connection(platform)
    yield LedgerView(connection)
    await connection.close()


@pytest.fixture
async def connections(platform: Platform) -> AsyncGenerator[Connections]:
    url = platform.settings.app_database_url.get_secret_value()
    opened = await Connections.open(url, size=4, patience=30)
    yield opened
    await opened.close()


@pytest.fixture
def prune(connections: Connections, view: LedgerView) -> Callable[[], Awaitable[None]]:
    """Every tenant's turn has come, and is taken."""

    async def prune_all() -> None:
        await view.run("UPDATE pruning SET due_at = now()")
        await Pruner(connections).prune_all()

    return prune_all


@dataclass
class History:
    """What one tenant's executions left, some days ago."""

    platform: Platform
    account: Account
    view: LedgerView

    @property
    def seeder(self) -> Seeder:
        return Seeder(self.platform.resources, self.account.tenant_id)

    async def put(self, **policy: Any) -> httpx.Response:
        client = await self.platform.client(ORCHESTRATION, self.account)
        return await client.put("/api/v1/execution-policy", json={**KEEP_ALL, **policy})

    async def ended(self, days: float, **values: Any) -> UUID:
        """An execution with a step, a call and a stream of eight events, that ended so many days ago."""
        seeder = self.seeder
        execution = await seeder.execution(inputs={"topic": "rivers"}, output={"text": "Long."}, **values)
        step = await seeder.step(execution, "write", input={"told": 1}, output={"text": "Long."})
        await seeder.call(execution, step, request={"messages": []}, response={"text": "Long."}, input_tokens=7)
        await seeder.append(
            execution,
            ("execution.status", {"status": "running"}),
            ("message.delta", {"text": "Lo"}),
            ("log", {"level": "debug", "message": "looking"}),
            ("log", {"level": "info", "message": "found"}),
            ("reasoning.delta", {"text": "hm"}),
            ("step.finished", {"output": {"text": "Long."}}),
            ("execution.status", {"status": "succeeded"}),
            ("done", {"status": "succeeded", "output": {"text": "Long."}, "error": None}),
            publish=False,
            status="succeeded",
        )
        await self.view.run(
            "UPDATE executions SET finished_at = $2 WHERE id = $1", execution, utcnow() - timedelta(days=days)
        )
        return execution

    async def row(self, execution: UUID) -> ExecutionRow:
        async with self.platform.resources.database.read(Scope(self.account.tenant_id)) as session:
            row = await session.get(ExecutionRow, execution)
        assert row is not None
        return row

    async def stream(self, execution: UUID) -> list[str]:
        rows = await self.view.connection.fetch(
            "SELECT type FROM execution_events WHERE execution_id = $1 ORDER BY seq", execution
        )
        return [row["type"] for row in rows]

    async def detail(self, execution: UUID) -> dict[str, Any]:
        client = await self.platform.client(MONITORING, self.account)
        return (await client.get(f"/api/v1/executions/{execution}")).json()


@pytest.fixture
def history(platform: Platform, ada: Account, view: LedgerView) -> History:
    return History(platform, ada, view)
