"""What cancel, pause and resume have in common: each is one function of the ledger, for a whole tree of executions."""

from typing import Any, Literal
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import select, text

from shared.database.session import WriteSession
from shared.database.tables.ledger import EventRow, ExecutionRow
from shared.executions.errors import ExecutionNotFound
from shared.executions.events import announce
from shared.workflow.states import ExecutionStatus

Control = Literal["ledger_cancel", "ledger_pause", "ledger_resume"]

_STATEMENTS: dict[Control, Any] = {
    control: select(EventRow).from_statement(text(f"SELECT * FROM {control}(:id)"))
    for control in ("ledger_cancel", "ledger_pause", "ledger_resume")
}


async def apply(session: WriteSession, control: Control, execution_id: UUID, redis: Redis) -> tuple[ExecutionRow, bool]:
    """The execution afterwards, and whether it or one below it changed. What was written is announced once `session`
    has committed. Raises `ExecutionNotFound`."""
    events = list((await session.execute(_STATEMENTS[control], {"id": execution_id})).scalars())
    row = await session.get(ExecutionRow, execution_id, populate_existing=True)
    if row is None:
        raise ExecutionNotFound
    # What still runs has only been flagged.
    look = {event.execution_id for event in events if event.data.get("status") == ExecutionStatus.RUNNING}
    session.after_commit(lambda: announce(redis, events, look=look))
    return row, bool(events)
