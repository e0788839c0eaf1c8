import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Response, status

from services.workflows import service
from services.workflows.errors import GraphInvalid, VersionConflict, VersionMissing, WorkflowBusy, WorkflowInUse
from services.workflows.schemas import (
    CloneRequest,
    ExecuteRequest,
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
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import IdempotencyMismatch, VersionNotFound, WorkflowNotFound
from shared.executions.schemas import ExecutionOut
from shared.executions.snapshot import InputsInvalid, WorkflowInvalid
from shared.executions.submit import IdempotencyKey
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import Invalid, responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.schemas import Text

router = APIRouter(tags=["workflows"])

Reader = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_WRITE))]
Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]
_Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
_AtVersion = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Another version than the latest.")]
_Search = Annotated[Text | None, Query(max_length=200, description="Part of the name.")]
_ETAG = re.compile(r'(?:W/)?"?([1-9][0-9]{0,8})"?')


@router.get("/workflows", responses=responses(NotAllowed))
async def list_workflows(
    session: ReadDb,
    caller: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: WorkflowSort = WorkflowSort.NEWEST,
    q: _Search = None,
) -> Page[WorkflowSummary]:
    return await service.list_workflows(session, limit, cursor, sort, q)


@router.post("/workflows", status_code=status.HTTP_201_CREATED, responses=responses(NotAllowed, GraphInvalid))
async def create_workflow(request: WorkflowCreate, session: WriteDb, caller: Writer) -> WorkflowSaved:
    """Keeps the graph even if it cannot run yet, and answers with what is wrong with it."""
    return await service.create(session, caller, request)


@router.get("/workflows/{workflow_id}", responses=responses(NotAllowed, WorkflowNotFound, VersionNotFound))
async def get_workflow(
    workflow_id: UUID, response: Response, session: ReadDb, caller: Reader, version: _AtVersion = None
) -> WorkflowOut:
    workflow = await service.read(session, workflow_id, version)
    response.headers["ETag"] = f'"{workflow.latest_version}"'
    return workflow


@router.put(
    "/workflows/{workflow_id}",
    responses=responses(NotAllowed, WorkflowNotFound, VersionConflict, GraphInvalid, VersionMissing),
)
async def update_workflow(
    workflow_id: UUID,
    request: WorkflowUpdate,
    response: Response,
    session: WriteDb,
    caller: Writer,
    if_match: Annotated[str | None, Header(max_length=50)] = None,
) -> WorkflowSaved:
    """A changed graph becomes the next version. Refused if somebody else has saved one since `version`."""
    based_on = _based_on(request.version, if_match)
    workflow = await service.update(session, caller, workflow_id, request, based_on)
    response.headers["ETag"] = f'"{workflow.latest_version}"'
    return workflow


def _based_on(version: int | None, if_match: str | None) -> int:
    if version is not None:
        return version
    if if_match is None:
        raise VersionMissing
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise Invalid("If-Match must be the ETag of a workflow.")
    return int(match[1])


@router.delete(
    "/workflows/{workflow_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, WorkflowNotFound, WorkflowBusy, WorkflowInUse),
)
async def delete_workflow(workflow_id: UUID, session: WriteDb, caller: Writer) -> None:
    """Its versions go with it. Its executions stay to be looked at; while one has not ended it cannot be deleted."""
    await service.delete(session, workflow_id)


@router.get("/workflows/{workflow_id}/versions", responses=responses(NotAllowed, WorkflowNotFound))
async def list_versions(
    workflow_id: UUID, session: ReadDb, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[VersionOut]:
    """The newest first."""
    return await service.list_versions(session, workflow_id, limit, cursor)


@router.post(
    "/workflows/{workflow_id}/versions/{number}/restore",
    responses=responses(NotAllowed, WorkflowNotFound, VersionNotFound),
)
async def restore_version(workflow_id: UUID, number: _Number, session: WriteDb, caller: Writer) -> WorkflowSaved:
    """The graph of that version becomes the next one."""
    return await service.restore(session, caller, workflow_id, number)


@router.post("/workflows/{workflow_id}/validate", responses=responses(NotAllowed, WorkflowNotFound, VersionNotFound))
async def validate_workflow(
    workflow_id: UUID,
    session: ReadDb,
    caller: Reader,
    request: Annotated[ValidateRequest | None, Body()] = None,
) -> ValidationOut:
    """What is wrong with the stored graph, or with one that is sent to be looked at."""
    return await service.validate(session, workflow_id, request or ValidateRequest())


@router.post(
    "/workflows/{workflow_id}/clone",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, WorkflowNotFound),
)
async def clone_workflow(
    workflow_id: UUID,
    session: WriteDb,
    caller: Writer,
    request: Annotated[CloneRequest | None, Body()] = None,
) -> WorkflowSaved:
    return await service.clone(session, caller, workflow_id, request.name if request else None)


@router.post(
    "/workflows/{workflow_id}/execute",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed, WorkflowNotFound, VersionNotFound, IdempotencyMismatch, WorkflowInvalid, InputsInvalid
    ),
)
async def execute_workflow(
    workflow_id: UUID,
    session: WriteDb,
    app: App,
    caller: Runner,
    request: Annotated[ExecuteRequest | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionOut:
    return await service.execute(session, app, caller, workflow_id, request or ExecuteRequest(), idempotency_key)


@router.get("/workflows/{workflow_id}/status", responses=responses(NotAllowed, WorkflowNotFound))
async def get_workflow_status(workflow_id: UUID, session: ReadDb, caller: Reader) -> WorkflowStatus:
    """The latest execution, and how many there are of each status."""
    return await service.read_status(session, workflow_id)
