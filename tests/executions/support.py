"""Executions for tests, and the ledger as it lies in the database."""

from typing import Any
from uuid import UUID

import asyncpg

from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from shared.database.url import asyncpg_url
from shared.executions.submit import Submission, submit
from shared.kit.json import loads
from shared.workflow.states import ExecutionKind, Lane
from tests.support.platform import Account, Platform

WORKFLOW_ID = UUID(int=7)


async def no_ring() -> None:
    """For tests in which no worker listens."""


def submission(account: Account, **fields: Any) -> Submission:
    """An execution of Ada's that nothing in particular is known of."""
    given: dict[str, Any] = {
        "tenant_id": account.tenant_id,
        "kind": ExecutionKind.WORKFLOW,
        "name": "Report",
        "spec": {"graph": {}},
        "inputs": {"topic": "rivers"},
        "lane": Lane.DEFAULT,
        "created_by": account.user_id,
        "workflow_id": WORKFLOW_ID,
        "workflow_version": 1,
    }
    return Submission(**{**given, **fields})


async def queue(platform: Platform, account: Account, **fields: Any) -> ExecutionRow:
    """Submits, committed and unheard."""
    async with platform.resources.database.write(Scope(account.tenant_id, account.user_id)) as session:
        return await submit(session, submission(account, **fields), no_ring)


async def owner_connection(platform: Platform) -> asyncpg.Connection:
    """Sees every tenant's rows, with JSON decoded."""
    url = asyncpg_url(platform.settings.database_url.get_secret_value()).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=loads)
    return connection


class LedgerView:
    """The database as its owner sees it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def execution(self, execution_id: UUID) -> dict[str, Any]:
        row = await self.connection.fetchrow("SELECT * FROM executions WHERE id = $1", execution_id)
        assert row is not None
        return dict(row)

    async def steps(self, execution_id: UUID) -> list[dict[str, Any]]:
        return await self._rows("SELECT * FROM task_executions WHERE execution_id = $1 ORDER BY id", execution_id)

    async def calls(self, execution_id: UUID) -> list[dict[str, Any]]:
        return await self._rows("SELECT * FROM calls WHERE execution_id = $1 ORDER BY id", execution_id)

    async def waits(self, execution_id: UUID) -> list[dict[str, Any]]:
        return await self._rows("SELECT * FROM waits WHERE execution_id = $1 ORDER BY id", execution_id)

    async def events(self, execution_id: UUID) -> list[dict[str, Any]]:
        """The stream, having checked that it has no gap."""
        rows = await self._rows("SELECT * FROM execution_events WHERE execution_id = $1 ORDER BY seq", execution_id)
        last = (await self.execution(execution_id))["last_seq"]
        assert [row["seq"] for row in rows] == list(range(1, last + 1))
        return rows

    async def run(self, statement: str, *arguments: Any) -> None:
        await self.connection.execute(statement, *arguments)

    async def _rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.connection.fetch(query, *arguments)]
