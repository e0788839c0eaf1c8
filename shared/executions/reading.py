"""Reading the ledger. Queries see the session's tenant only; row-level security holds that."""

from uuid import UUID

from sqlalchemy import select

from shared.database.session import ReadSession
from shared.database.tables.ledger import ExecutionRow
from shared.executions.errors import ExecutionNotFound


async def require_execution(session: ReadSession, execution_id: UUID) -> None:
    """Raises `ExecutionNotFound` if the tenant has no such execution. Reads nothing of it that may be large."""
    if await session.scalar(select(ExecutionRow.id).where(ExecutionRow.id == execution_id)) is None:
        raise ExecutionNotFound


async def find_execution(session: ReadSession, execution_id: UUID) -> ExecutionRow:
    """The tenant's execution, or `ExecutionNotFound`."""
    row = await session.get(ExecutionRow, execution_id)
    if row is None:
        raise ExecutionNotFound
    return row
