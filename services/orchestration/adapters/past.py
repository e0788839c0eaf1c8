"""An execution that has ended, read from the ledger as the engine knows executions."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from services.orchestration.adapters.ledger.records import (
    CALL_COLUMNS,
    STEP_COLUMNS,
    WAIT_COLUMNS,
    call_record,
    step_record,
    wait_record,
)
from services.orchestration.engine.ports import ExecutionState, ExecutionStatus
from services.orchestration.engine.replay.past import Past
from shared.database.session import ReadSession
from shared.database.tables.ledger import CallRow, StepRow, WaitRow
from shared.executions.reading import find_execution
from shared.workflow.states import Origin


async def read_past(session: ReadSession, execution_id: UUID) -> Past:
    """Raises `ExecutionNotFound`."""
    row = await find_execution(session, execution_id)
    steps = await _recorded(session, StepRow, STEP_COLUMNS, execution_id)
    calls = await _recorded(session, CallRow, CALL_COLUMNS, execution_id)
    waits = await _recorded(session, WaitRow, WAIT_COLUMNS, execution_id)
    state = ExecutionState(
        id=row.id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        spec=row.spec,
        inputs=row.inputs,
        attempts=0,
        created_at=row.created_at,
        steps=[step_record(step) for step in steps],
        calls=[call_record(call) for call in calls],
        waits=[wait_record(wait) for wait in waits],
        wakes=row.wakes,
        forked=row.origin is not None and Origin(row.origin).keeps_records,
        depth=row.depth,
        root_id=row.root_id,
    )
    return Past(state, ExecutionStatus(row.status), row.output, row.error)


async def _recorded(
    session: ReadSession, table: type[StepRow | CallRow | WaitRow], columns: Sequence[str], execution_id: UUID
) -> Sequence[Any]:
    """Mappings of these columns."""
    statement = select(*(getattr(table, name) for name in columns)).where(table.execution_id == execution_id)
    return (await session.execute(statement.order_by(table.id))).mappings().all()
