"""Holding an execution for a while, and all below it. It keeps what it has done and what it is answered meanwhile."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from redis.asyncio import Redis

from shared.database.session import WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.executions.controls import apply
from shared.executions.errors import ExecutionEnded, ExecutionStopping, NotPaused
from shared.workflow.states import ExecutionStatus


async def pause(session: WriteSession, execution_id: UUID, redis: Redis) -> ExecutionRow:
    """What no worker holds is paused here and now; what runs is flagged, and its worker lets go of it within seconds,
    when the calls under way have had a moment to end. Asking twice is no error.

    Raises `ExecutionEnded`, and `ExecutionStopping` if it was asked to stop.
    """
    row, _ = await apply(session, "ledger_pause", execution_id, redis)
    if ExecutionStatus(row.status).ended:
        raise ExecutionEnded
    if row.cancel_requested_at is not None:
        raise ExecutionStopping
    return row


async def resume(
    session: WriteSession, execution_id: UUID, redis: Redis, ring: Callable[[], Awaitable[None]]
) -> ExecutionRow:
    """Goes on where it was paused, or does not pause at all if its worker has not come to it yet. Raises
    `ExecutionEnded` and `NotPaused`."""
    row, written = await apply(session, "ledger_resume", execution_id, redis)
    if ExecutionStatus(row.status).ended:
        raise ExecutionEnded
    if not written:
        raise NotPaused
    session.after_commit(ring)
    return row
