from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from services.orchestration.controls import service
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import ExecutionEnded, ExecutionNotFound, ExecutionStopping, NotPaused
from shared.executions.schemas import ExecutionOut
from shared.web.dependencies import App, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["executions"])

Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]


@router.post(
    "/executions/{execution_id}/cancel",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, ExecutionNotFound, ExecutionEnded),
)
async def cancel_execution(execution_id: UUID, session: WriteDb, app: App, caller: Runner) -> ExecutionOut:
    """Ends the execution, and all that it started: at once if nobody is running it, else within seconds. Asking again
    is no error."""
    return await service.stop(session, app, execution_id)


@router.post(
    "/executions/{execution_id}/pause",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, ExecutionNotFound, ExecutionEnded, ExecutionStopping),
)
async def pause_execution(execution_id: UUID, session: WriteDb, app: App, caller: Runner) -> ExecutionOut:
    """Holds the execution, and all that it started: at once if nobody is running it, else within seconds, when the
    calls under way have had a moment to end. What it waits for may be answered meanwhile. Asking again is no error."""
    return await service.hold(session, app, execution_id)


@router.post(
    "/executions/{execution_id}/resume",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, ExecutionNotFound, ExecutionEnded, NotPaused),
)
async def resume_execution(execution_id: UUID, session: WriteDb, app: App, caller: Runner) -> ExecutionOut:
    """Lets a paused execution, and all that it started, go on where it was."""
    return await service.go_on(session, app, execution_id)
