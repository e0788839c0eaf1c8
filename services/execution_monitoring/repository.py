from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import load_only

from services.execution_monitoring.schemas import ExecutionFilter, ExecutionSort, LogLevel
from shared.database.session import ReadSession
from shared.database.tables.ledger import CallRow, EventRow, ExecutionRow, StepRow, WaitRow
from shared.database.tables.workflows import Workflow
from shared.executions.schemas import ExecutionSummary
from shared.workflow.states import CallKind, WaitStatus

# Snapshots, inputs and outputs are as large as users make them, and a page shows up to 200 executions without them.
_SUMMARY = load_only(*(getattr(ExecutionRow, name) for name in ExecutionSummary.model_fields), raiseload=True)

# A map can start thousands; the others are found by `?parent=`.
_MOST_CHILDREN = 100


async def list_executions(
    session: ReadSession, wanted: ExecutionFilter, *, limit: int, sort: ExecutionSort, after: UUID | None
) -> Sequence[ExecutionRow]:
    """Of each what a summary shows. `after` is the last execution shown; ids sort by time of creation."""
    statement = select(ExecutionRow).options(_SUMMARY).where(*_conditions(wanted)).limit(limit)
    newest = sort is ExecutionSort.NEWEST
    if after is not None:
        statement = statement.where(ExecutionRow.id < after if newest else ExecutionRow.id > after)
    return (await session.scalars(statement.order_by(ExecutionRow.id.desc() if newest else ExecutionRow.id))).all()


def _conditions(wanted: ExecutionFilter) -> list[ColumnElement[bool]]:
    conditions = _relations(wanted)
    if wanted.statuses:
        conditions.append(ExecutionRow.status.in_([status.value for status in wanted.statuses]))
    if wanted.kinds:
        conditions.append(ExecutionRow.kind.in_([kind.value for kind in wanted.kinds]))
    if wanted.start is not None:
        conditions.append(ExecutionRow.created_at >= wanted.start)
    if wanted.end is not None:
        conditions.append(ExecutionRow.created_at < wanted.end)
    if wanted.search:
        conditions.append(ExecutionRow.name.icontains(wanted.search, autoescape=True))
    return conditions


def _relations(wanted: ExecutionFilter) -> list[ColumnElement[bool]]:
    given = (
        (ExecutionRow.workflow_id, wanted.workflow_id),
        (ExecutionRow.agent_id, wanted.agent_id),
        (ExecutionRow.trigger_id, wanted.trigger_id),
        (ExecutionRow.parent_id, wanted.parent_id),
        (ExecutionRow.origin_id, wanted.origin_id),
    )
    conditions = [column == id_ for column, id_ in given if id_ is not None]
    if wanted.parent_id is None and wanted.top_level:
        conditions.append(ExecutionRow.parent_id.is_(None))
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


async def list_open_waits(session: ReadSession, execution_id: UUID) -> Sequence[tuple[WaitRow, StepRow]]:
    """With the steps that wait."""
    statement = (
        select(WaitRow, StepRow)
        .join(StepRow, StepRow.id == WaitRow.step_id)
        .where(WaitRow.execution_id == execution_id, WaitRow.status == WaitStatus.OPEN.value)
        .order_by(WaitRow.id)
    )
    return [(wait, step) for wait, step in (await session.execute(statement)).all()]


async def list_children(session: ReadSession, execution_id: UUID) -> Sequence[tuple[UUID, str, str, str]]:
    """Id and status, and the node and path of the step that started it: a child has the id of the wait for it."""
    statement = (
        select(ExecutionRow.id, ExecutionRow.status, StepRow.node, StepRow.path)
        .join(WaitRow, WaitRow.id == ExecutionRow.id)
        .join(StepRow, StepRow.id == WaitRow.step_id)
        .where(ExecutionRow.parent_id == execution_id)
        .order_by(ExecutionRow.id)
        .limit(_MOST_CHILDREN)
    )
    return [(id_, status, node, path) for id_, status, node, path in (await session.execute(statement)).all()]


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
