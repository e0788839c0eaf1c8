"""Workflows and their versions. A version never changes; what is saved becomes the next one."""

from uuid import UUID

from pydantic import ValidationError

from services.workflows import repository
from services.workflows.errors import GraphInvalid, VersionConflict, WorkflowBusy, WorkflowInUse
from services.workflows.schemas import (
    ExecuteRequest,
    ProblemOut,
    ValidateRequest,
    ValidationOut,
    VersionOut,
    WorkflowCreate,
    WorkflowOut,
    WorkflowSaved,
    WorkflowSort,
    WorkflowStatus,
    WorkflowSummary,
    WorkflowUpdate,
)
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.workflows import Workflow, WorkflowVersion
from shared.executions.schemas import ExecutionOut, ExecutionSummary
from shared.executions.snapshot import workflow_problems
from shared.executions.start import WorkflowStart, start_workflow
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.kit.storable import storable
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page
from shared.web.resources import Resources
from shared.workflow.graph import Graph
from shared.workflow.problems import Problem, Severity
from shared.workflow.states import ExecutionStatus
from shared.workflow.validate import References, validate_graph

_NAMED_USERS = 20


async def list_workflows(
    session: ReadSession, limit: int, cursor: str | None, sort: WorkflowSort, search: str | None
) -> Page[WorkflowSummary]:
    after = decode_cursor(cursor, _name, UUID) if cursor else None
    rows = await repository.list_workflows(session, limit=limit + 1, sort=sort, after=after, search=search)
    return page(rows, limit, _summary, lambda row: (row.name, row.id))


async def create(session: WriteSession, caller: Principal, request: WorkflowCreate) -> WorkflowSaved:
    return await add_workflow(
        session, caller, request.name, request.description, request.graph, max_running=request.max_running
    )


async def add_workflow(
    session: WriteSession,
    caller: Principal,
    name: str,
    description: str,
    graph: JsonObject,
    note: str = "",
    max_running: int | None = None,
) -> WorkflowSaved:
    """A new workflow at version 1. Raises `GraphInvalid` for what is no graph at all."""
    graph = _shaped(graph)
    workflow = Workflow(
        id=new_id(),
        tenant_id=caller.tenant_id,
        name=name,
        description=description,
        latest_version=0,
        max_running=max_running,
        created_by=caller.user_id,
    )
    session.add(workflow)
    await session.flush()
    return await _add_version(session, caller, workflow, graph, note)


async def read(session: ReadSession, workflow_id: UUID, number: int | None) -> WorkflowOut:
    workflow = await repository.get_workflow(session, workflow_id)
    return _out(workflow, await repository.get_version(session, workflow, number))


async def update(
    session: WriteSession, caller: Principal, workflow_id: UUID, request: WorkflowUpdate, based_on: int
) -> WorkflowSaved:
    """Raises `VersionConflict` when `based_on` is no longer the latest version."""
    graph = _shaped(request.graph)
    workflow = await repository.lock_workflow(session, workflow_id)
    if workflow.latest_version != based_on:
        raise VersionConflict(f"The workflow was changed meanwhile: it is at version {workflow.latest_version} now.")
    workflow.name = request.name
    workflow.description = request.description
    await _limit(session, workflow, request.max_running)
    latest = await repository.get_version(session, workflow)
    if latest.graph != graph:
        return await _add_version(session, caller, workflow, graph, request.note)
    await session.flush()
    await session.refresh(workflow)
    return await _saved(session, workflow, latest)


async def _limit(session: WriteSession, workflow: Workflow, max_running: int | None) -> None:
    if (max_running is None) != (workflow.max_running is None):
        await repository.share_limit(session, workflow.id, limited=max_running is not None)
    workflow.max_running = max_running


async def delete(session: WriteSession, workflow_id: UUID) -> None:
    await repository.lock_workflow(session, workflow_id)
    if await repository.has_open_executions(session, workflow_id):
        raise WorkflowBusy
    users = await repository.workflows_starting(session, workflow_id, _NAMED_USERS)
    if users:
        details = [ErrorDetail(field=f"workflows.{id_}", message=name, code="starts_workflow") for id_, name in users]
        raise WorkflowInUse(details=details)
    await repository.delete_workflow(session, workflow_id)


async def list_versions(session: ReadSession, workflow_id: UUID, limit: int, cursor: str | None) -> Page[VersionOut]:
    await repository.get_workflow(session, workflow_id)
    before = decode_cursor(cursor, _version_number)[0] if cursor else None
    rows = await repository.list_versions(session, workflow_id, limit=limit + 1, before=before)
    return page(rows, limit, VersionOut.model_validate, lambda row: (row.version,))


async def restore(session: WriteSession, caller: Principal, workflow_id: UUID, number: int) -> WorkflowSaved:
    """The graph of an earlier version becomes the next one: nothing between is lost."""
    workflow = await repository.lock_workflow(session, workflow_id)
    version = await repository.get_version(session, workflow, number)
    return await _add_version(session, caller, workflow, version.graph, f"Restored version {number}.")


async def clone(session: WriteSession, caller: Principal, workflow_id: UUID, name: str | None) -> WorkflowSaved:
    """A workflow of its own with the latest graph, and with the same agents."""
    workflow = await repository.get_workflow(session, workflow_id)
    version = await repository.get_version(session, workflow)
    copy_name = name or f"{workflow.name[:190]} (copy)"
    return await add_workflow(
        session, caller, copy_name, workflow.description, version.graph, max_running=workflow.max_running
    )


async def validate(session: ReadSession, workflow_id: UUID, request: ValidateRequest) -> ValidationOut:
    workflow = await repository.get_workflow(session, workflow_id)
    graph = request.graph
    if graph is None:
        graph = (await repository.get_version(session, workflow, request.version)).graph
    problems = await _problems(session, workflow, graph)
    return ValidationOut(valid=_is_valid(problems), problems=problems)


async def execute(
    session: WriteSession,
    app: Resources,
    caller: Principal,
    workflow_id: UUID,
    request: ExecuteRequest,
    idempotency_key: str | None,
) -> ExecutionOut:
    budget = request.budget and request.budget.as_json()
    start = WorkflowStart(workflow_id, request.inputs, request.version, request.priority, budget, idempotency_key)
    return ExecutionOut.model_validate(await start_workflow(session, caller, start, app.doorbell.ring))


async def read_status(session: ReadSession, workflow_id: UUID) -> WorkflowStatus:
    workflow = await repository.get_workflow(session, workflow_id)
    latest = await repository.latest_execution(session, workflow_id)
    counts = await repository.count_executions(session, workflow_id)
    return WorkflowStatus(
        workflow_id=workflow.id,
        version=workflow.latest_version,
        latest_execution=None if latest is None else ExecutionSummary.model_validate(latest),
        executions={status: counts.get(status.value, 0) for status in ExecutionStatus},
    )


async def _add_version(
    session: WriteSession, caller: Principal, workflow: Workflow, graph: JsonObject, note: str
) -> WorkflowSaved:
    workflow.latest_version += 1
    version = WorkflowVersion(
        tenant_id=caller.tenant_id,
        workflow_id=workflow.id,
        version=workflow.latest_version,
        graph=graph,
        note=note,
        created_by=caller.user_id,
        created_at=utcnow(),
    )
    session.add(version)
    await session.flush()
    await session.refresh(workflow)
    return await _saved(session, workflow, version)


def _shaped(graph: JsonObject) -> JsonObject:
    """The graph as it is stored. What is wrong with its meaning can be stored; what is no graph cannot."""
    try:
        return Graph.model_validate(graph).dump()
    except ValidationError:
        details = [
            ErrorDetail(field=_place(p), message=p.message, code=p.code) for p in validate_graph(graph, References())
        ]
        raise GraphInvalid(details=details) from None


def _place(problem: Problem) -> str:
    node = () if problem.node is None else ("nodes", problem.node)
    return ".".join(("graph", *node, *filter(None, (problem.field,))))


async def _saved(session: ReadSession, workflow: Workflow, version: WorkflowVersion) -> WorkflowSaved:
    problems = await _problems(session, workflow, version.graph)
    out = _out(workflow, version).model_dump()
    return WorkflowSaved.model_validate({**out, "valid": _is_valid(problems), "problems": problems})


async def _problems(session: ReadSession, workflow: Workflow, graph: JsonObject) -> list[ProblemOut]:
    found = await workflow_problems(session, graph, workflow_id=workflow.id, name=workflow.name)
    return [ProblemOut.model_validate(problem) for problem in found]


def _is_valid(problems: list[ProblemOut]) -> bool:
    return all(problem.severity is not Severity.ERROR for problem in problems)


def _summary(workflow: Workflow) -> WorkflowSummary:
    return WorkflowSummary(
        id=workflow.id,
        name=workflow.name,
        description=workflow.description,
        version=workflow.latest_version,
        max_running=workflow.max_running,
        created_by=workflow.created_by,
        created_at=workflow.created_at,
        updated_at=workflow.updated_at,
    )


def _out(workflow: Workflow, version: WorkflowVersion) -> WorkflowOut:
    summary = _summary(workflow).model_dump()
    return WorkflowOut.model_validate(
        {
            **summary,
            "version": version.version,
            "latest_version": workflow.latest_version,
            "graph": version.graph,
        }
    )


def _name(text: str) -> str:
    if storable(text) is not text:
        raise ValueError
    return text


def _version_number(text: str) -> int:
    number = int(text)
    if not 0 < number < 2**31:
        raise ValueError
    return number
