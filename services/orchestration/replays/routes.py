from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from services.orchestration.replays import service
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import ExecutionNotEnded, ExecutionNotFound, IdempotencyMismatch
from shared.executions.fork import NotAGraph
from shared.executions.retention import JournalPruned
from shared.executions.schemas import ExecutionOut
from shared.executions.submit import IdempotencyKey
from shared.web.dependencies import App, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["executions"])

Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]


@router.post(
    "/executions/{execution_id}/replay",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed, ExecutionNotFound, ExecutionNotEnded, NotAGraph, JournalPruned, IdempotencyMismatch
    ),
)
async def replay_execution(
    execution_id: UUID,
    session: WriteDb,
    app: App,
    caller: Runner,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionOut:
    """Runs an execution that has ended once more from its journal: nothing outside is asked, and the execution stays as
    it is. The output of the replay says whether every step came out the `same`; in `steps` stands what each of the
    others was `expected` to give and what it `got`."""
    return await service.replay(session, app, caller, execution_id, idempotency_key)
