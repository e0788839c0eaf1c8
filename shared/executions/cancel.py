"""Asking an execution to stop: a durable flag, which no crash or restart forgets."""

from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import func, select, text, update

from shared.database.session import WriteSession
from shared.database.tables.ledger import EventRow, ExecutionRow
from shared.executions.errors import ExecutionEnded, ExecutionNotFound
from shared.executions.events import announce
from shared.kit.clock import utcnow
from shared.workflow.states import ExecutionStatus


async def cancel(session: WriteSession, execution_id: UUID, redis: Redis) -> ExecutionRow:
    """One that no worker holds is ended here and now; a running one is flagged, and its worker ends it within
    seconds. Asking twice is no error; raises `ExecutionEnded` when there is nothing left to stop."""
    row = await session.scalar(
        select(ExecutionRow).where(ExecutionRow.id == execution_id).with_for_update(key_share=True)
    )
    if row is None:
        raise ExecutionNotFound
    status = ExecutionStatus(row.status)
    if status.ended:
        raise ExecutionEnded
    if row.cancel_requested_at is None:
        await session.execute(
            update(ExecutionRow).where(ExecutionRow.id == row.id).values(cancel_requested_at=func.now())
        )
        if status is ExecutionStatus.RUNNING:
            await _tell_worker(session, row, redis)
        else:
            await _settle(session, row, redis)
        await session.refresh(row)
    return row


async def _tell_worker(session: WriteSession, row: ExecutionRow, redis: Redis) -> None:
    event = EventRow(
        tenant_id=row.tenant_id,
        execution_id=row.id,
        seq=row.last_seq + 1,
        type="execution.status",
        at=utcnow(),
        data={"status": row.status, "cancel_requested": True},
    )
    session.add(event)
    await session.execute(update(ExecutionRow).where(ExecutionRow.id == row.id).values(last_seq=event.seq))
    await session.flush()
    session.after_commit(lambda: announce(redis, [event], cancelled=row.id))


async def _settle(session: WriteSession, row: ExecutionRow, redis: Redis) -> None:
    settled = await session.execute(_SETTLE, {"id": row.id})
    events = list(settled.scalars())
    session.after_commit(lambda: announce(redis, events))


_SETTLE: Any = select(EventRow).from_statement(text("SELECT * FROM ledger_settle(:id, 'cancelled', NULL)"))
