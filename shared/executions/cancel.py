"""Asking an execution to stop, and all below it: durable flags, which no crash or restart forgets."""

from uuid import UUID

from redis.asyncio import Redis

from shared.database.session import WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.executions.controls import apply
from shared.executions.errors import ExecutionEnded
from shared.workflow.states import ExecutionStatus


async def cancel(session: WriteSession, execution_id: UUID, redis: Redis) -> ExecutionRow:
    """What no worker holds is ended here and now; what runs is flagged, and its worker ends it within seconds. The
    executions that it started go with it. Asking twice is no error; raises `ExecutionEnded` when there is nothing
    left to stop."""
    row, written = await apply(session, "ledger_cancel", execution_id, redis)
    if ExecutionStatus(row.status).ended and not written:
        raise ExecutionEnded
    return row
