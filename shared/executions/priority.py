"""How soon an execution gets its turn."""

from uuid import UUID

from sqlalchemy import select

from shared.database.session import WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.executions.errors import ExecutionEnded, ExecutionNotFound
from shared.web.errors import Conflict
from shared.workflow.states import ExecutionStatus


class ExecutionRunning(Conflict):
    code = "execution_running"
    message = "The execution is running: its priority is of no consequence any more."


async def set_priority(session: WriteSession, execution_id: UUID, priority: int) -> ExecutionRow:
    """For one that is queued, or that will be once more: that waits or is paused.

    Raises `ExecutionNotFound`, `ExecutionEnded`, `ExecutionRunning`.
    """
    row = await session.scalar(
        select(ExecutionRow).where(ExecutionRow.id == execution_id).with_for_update(key_share=True)
    )
    if row is None:
        raise ExecutionNotFound
    status = ExecutionStatus(row.status)
    if status.ended:
        raise ExecutionEnded
    if status is ExecutionStatus.RUNNING:
        raise ExecutionRunning
    row.priority = priority
    await session.flush()
    return row
