from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from services.orchestration.executions import service
from services.orchestration.executions.schemas import ExecutionCreate, ExecutionUpdate
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import (
    ExecutionEnded,
    ExecutionNotFound,
    IdempotencyMismatch,
    VersionNotFound,
    WorkflowNotFound,
)
from shared.executions.priority import ExecutionRunning
from shared.executions.schemas import ExecutionOut
from shared.executions.snapshot import InputsInvalid, WorkflowInvalid
from shared.executions.submit import IdempotencyKey
from shared.web.dependencies import App, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["executions"])

Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]


@router.post(
    "/executions",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed, WorkflowNotFound, VersionNotFound, IdempotencyMismatch, WorkflowInvalid, InputsInvalid
    ),
)
async def start_execution(
    request: ExecutionCreate,
    session: WriteDb,
    app: App,
    caller: Runner,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionOut:
    """Starts a workflow. The execution runs on what the workflow and its agents are now; later changes do not reach
    it."""
    return await service.start(session, app, caller, request, idempotency_key)


@router.patch(
    "/executions/{execution_id}",
    responses=responses(NotAllowed, ExecutionNotFound, ExecutionEnded, ExecutionRunning),
)
async def update_execution(
    execution_id: UUID, request: ExecutionUpdate, session: WriteDb, caller: Runner
) -> ExecutionOut:
    """Changes when a queued, waiting or paused execution gets its turn."""
    return await service.prioritise(session, execution_id, request)
