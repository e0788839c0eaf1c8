from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select

from services.execution_monitoring.schemas import ExecutionFilter, ExecutionSort, LogLevel
from shared.database.session import ReadSession
from shared.database.tables.ledger import CallRow, EventRow, ExecutionRow, StepRow
from shared.database.tables.workflows import Workflow
from shared.workflow.states import CallKind


async def list_executions(
    session: ReadSession, wanted: ExecutionFilter, *, limit: int, sort: ExecutionSort, after: UUID | None
) -> Sequence[ExecutionRow]:
    """`after` is the last execution shown; ids sort by time of creation."""
    statement = select(ExecutionRow).where(*_conditions(wanted)).limit(limit)
    newest = sort is ExecutionSort.NEWEST
    if after is not None:
        statement = statement.where(ExecutionRow.id < after if newest else ExecutionRow.id > after)
    return (await session.scalars(statement.order_by(ExecutionRow.id.desc() if newest else ExecutionRow.id))).all()


def _conditions(wanted: ExecutionFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.statuses:
        conditions.append(ExecutionRow.status.in_([status.value for status in wanted.statuses]))
    if wanted.kinds:
        conditions.append(ExecutionRow.kind.in_([kind.value for kind in wanted.kinds]))
    if wanted.workflow_id is not None:
        conditions.append(ExecutionRow.workflow_id == wanted.workflow_id)
    if wanted.agent_id is not None:
        conditions.append(ExecutionRow.agent_id == wanted.agent_id)
    if wanted.trigger_id is not None:
        conditions.append(ExecutionRow.trigger_id == wanted.trigger_id)
    if wanted.start is not None:
        conditions.append(ExecutionRow.created_at >= wanted.start)
    if wanted.end is not None:
        conditions.append(ExecutionRow.created_at < wanted.end)
    if wanted.search:
        conditions.append(ExecutionRow.name.icontains(wanted.search, autoescape=True))
    return conditions


async def workflow_is_known(session: ReadSession, workflow_id: UUID) -> bool:
    """Whether it is there, or was when something ran: executions outlive their workflow."""
    present = exists().where(Workflow.id == workflow_id)
    ran = exists().where(ExecutionRow.workflow_id == workflow_id)
    return bool(await session.scalar(select(present | ran)))


async def list_steps(session: ReadSession, execution_id: UUID) -> Sequence[StepRow]:
    """In the order in which they were first reached."""
    statement = select(StepRow).where(StepRow.execution_id == execution_id).order_by(StepRow.id)
    return (await session.scalars(statement)).all()


async def list_calls(
    session: ReadSession,
    execution_id: UUID,
    *,
    limit: int,
    after: UUID | None,
    step_id: UUID | None,
    kind: CallKind | None,
) -> Sequence[CallRow]:
    statement = select(CallRow).where(CallRow.execution_id == execution_id).order_by(CallRow.id).limit(limit)
    if after is not None:
        statement = statement.where(CallRow.id > after)
    if step_id is not None:
        statement = statement.where(CallRow.step_id == step_id)
    if kind is not None:
        statement = statement.where(CallRow.kind == kind.value)
    return (await session.scalars(statement)).all()


async def list_logs(
    session: ReadSession, execution_id: UUID, *, limit: int, after: int, level: LogLevel | None
) -> Sequence[EventRow]:
    statement = (
        select(EventRow)
        .where(EventRow.execution_id == execution_id, EventRow.type == "log", EventRow.seq > after)
        .order_by(EventRow.seq)
        .limit(limit)
    )
    if level is not None:
        statement = statement.where(EventRow.data["level"].astext.in_(level.and_above))
    return (await session.scalars(statement)).all()
