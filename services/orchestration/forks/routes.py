from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, status

from services.orchestration.forks import service
from services.orchestration.forks.schemas import ForkRequest, RerunRequest, RetryRequest
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import ExecutionNotFound, IdempotencyMismatch, WorkflowNotFound
from shared.executions.fork import ExecutionUnderWay, NotAGraph, NothingToRetry
from shared.executions.overrides import ForkInvalid
from shared.executions.retention import JournalPruned
from shared.executions.schemas import ExecutionOut
from shared.executions.snapshot import InputsInvalid, WorkflowInvalid
from shared.executions.submit import IdempotencyKey
from shared.web.dependencies import App, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["executions"])

Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]


@router.post(
    "/executions/{execution_id}/retry",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, ExecutionNotFound, NothingToRetry, NotAGraph, JournalPruned, IdempotencyMismatch),
)
async def retry_execution(
    execution_id: UUID,
    session: WriteDb,
    app: App,
    caller: Runner,
    request: Annotated[RetryRequest | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionOut:
    """A failed or cancelled execution goes on as a new one. What succeeded stays, and is not paid again: neither whole
    steps nor, in the steps that are run again, the calls that were answered."""
    return await service.retry(session, app, caller, execution_id, request or RetryRequest(), idempotency_key)


@router.post(
    "/executions/{execution_id}/rerun",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed,
        ExecutionNotFound,
        WorkflowNotFound,
        ExecutionUnderWay,
        NotAGraph,
        IdempotencyMismatch,
        WorkflowInvalid,
        InputsInvalid,
        ForkInvalid,
    ),
)
async def rerun_execution(
    execution_id: UUID,
    session: WriteDb,
    app: App,
    caller: Runner,
    request: Annotated[RerunRequest | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionOut:
    """Runs it once more, from the beginning."""
    return await service.rerun(session, app, caller, execution_id, request or RerunRequest(), idempotency_key)


@router.post(
    "/executions/{execution_id}/fork",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed,
        ExecutionNotFound,
        ExecutionUnderWay,
        NotAGraph,
        JournalPruned,
        IdempotencyMismatch,
        ForkInvalid,
        WorkflowInvalid,
        InputsInvalid,
    ),
)
async def fork_execution(
    execution_id: UUID,
    request: ForkRequest,
    session: WriteDb,
    app: App,
    caller: Runner,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionOut:
    """The same execution, but with another answer, prompt, model or input from there on. Every step that neither is the
    one named nor comes after it stays as it was. Works for one that has ended, is paused or waits."""
    return await service.fork(session, app, caller, execution_id, request, idempotency_key)
