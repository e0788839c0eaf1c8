from uuid import UUID

from services.execution_monitoring import repository
from services.execution_monitoring.schemas import (
    ChildExecution,
    ExecutionAgent,
    ExecutionDetail,
    ExecutionFilter,
    ExecutionSort,
    LogLevel,
    LogOut,
    OpenWait,
)
from shared.database.session import ReadSession
from shared.database.tables.ledger import EventRow, StepRow, WaitRow
from shared.executions.errors import WorkflowNotFound
from shared.executions.events import wire
from shared.executions.reading import find_execution, require_execution
from shared.executions.retention import events_pruned_before
from shared.executions.schemas import CallOut, ExecutionOut, ExecutionSummary, StepOut
from shared.kit.json import JsonObject
from shared.web.pagination import Page, decode_cursor, page
from shared.workflow.bodies import every_node
from shared.workflow.states import CallKind, ExecutionStatus, WaitKind


async def list_executions(
    session: ReadSession, wanted: ExecutionFilter, limit: int, cursor: str | None, sort: ExecutionSort
) -> Page[ExecutionSummary]:
    (after,) = decode_cursor(cursor, UUID) if cursor else (None,)
    rows = await repository.list_executions(session, wanted, limit=limit + 1, sort=sort, after=after)
    return page(rows, limit, ExecutionSummary.model_validate, lambda row: (row.id,))


async def require_workflow(session: ReadSession, workflow_id: UUID) -> None:
    if not await repository.workflow_is_known(session, workflow_id):
        raise WorkflowNotFound


async def read_execution(session: ReadSession, execution_id: UUID) -> ExecutionDetail:
    row = await find_execution(session, execution_id)
    steps = await repository.list_steps(session, execution_id)
    waits = await repository.list_open_waits(session, execution_id)
    children = await repository.list_children(session, execution_id)
    graph: JsonObject = row.spec.get("graph") or {"nodes": []}
    names = {node["id"]: node.get("name", "") for node in every_node(graph)}
    return ExecutionDetail(
        **ExecutionOut.model_validate(row).model_dump(exclude={"duration_ms"}),
        events_pruned_before=events_pruned_before(row.pruned, row.last_seq),
        agents=[ExecutionAgent.model_validate(agent) for agent in row.spec.get("agents", {}).values()],
        steps=[_step(step, names) for step in steps],
        waits=[_open_wait(wait, step) for wait, step in waits],
        children=[
            ChildExecution(id=id_, node=node, path=path, status=ExecutionStatus(status))
            for id_, status, node, path in children
        ],
    )


def _open_wait(wait: WaitRow, step: StepRow) -> OpenWait:
    return OpenWait(
        id=wait.id,
        kind=WaitKind(wait.kind),
        title=wait.title,
        node=step.node,
        path=step.path,
        due_at=wait.due_at,
    )


def _step(row: StepRow, names: dict[str, str]) -> StepOut:
    shown = {field: getattr(row, field) for field in StepOut.model_fields if field != "name"}
    return StepOut.model_validate({**shown, "name": names.get(row.node) or row.node})


async def list_calls(
    session: ReadSession,
    execution_id: UUID,
    limit: int,
    cursor: str | None,
    step_id: UUID | None,
    kind: CallKind | None,
) -> Page[CallOut]:
    await require_execution(session, execution_id)
    (after,) = decode_cursor(cursor, UUID) if cursor else (None,)
    rows = await repository.list_calls(session, execution_id, limit=limit + 1, after=after, step_id=step_id, kind=kind)
    return page(rows, limit, CallOut.model_validate, lambda row: (row.id,))


async def list_logs(
    session: ReadSession, execution_id: UUID, limit: int, cursor: str | None, level: LogLevel | None
) -> Page[LogOut]:
    await require_execution(session, execution_id)
    (after,) = decode_cursor(cursor, _seq) if cursor else (0,)
    rows = await repository.list_logs(session, execution_id, limit=limit + 1, after=after, level=level)
    return page(rows, limit, _log, lambda row: (row.seq,))


def _seq(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError
    return number


def _log(row: EventRow) -> LogOut:
    data = dict(row.data)
    level = data.pop("level", None)
    return LogOut(
        seq=row.seq,
        at=row.at,
        level=LogLevel(level) if level in list(LogLevel) else LogLevel.INFO,
        message=str(data.pop("message", "")),
        step=wire(row)["step"],
        data=data,
    )
