from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from services.execution_monitoring import service
from services.execution_monitoring.schemas import ExecutionDetail, ExecutionSort, Filtered, LogLevel, LogOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import ExecutionNotFound, WorkflowNotFound
from shared.executions.schemas import CallOut, ExecutionSummary
from shared.web.dependencies import ReadDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.workflow.states import CallKind

router = APIRouter(tags=["executions"])

Reader = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_READ))]
# Calls carry whole prompts and answers.
CallLimit = Annotated[int, Query(ge=1, le=100, description="How many calls at most.")]


@router.get("/executions", responses=responses(NotAllowed))
async def list_executions(
    session: ReadDb,
    caller: Reader,
    wanted: Filtered,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: ExecutionSort = ExecutionSort.NEWEST,
    workflow: Annotated[UUID | None, Query(description="The workflow's id.")] = None,
) -> Page[ExecutionSummary]:
    return await service.list_executions(session, replace(wanted, workflow_id=workflow), limit, cursor, sort)


@router.get("/workflows/{workflow_id}/executions", responses=responses(NotAllowed, WorkflowNotFound))
async def list_workflow_executions(
    workflow_id: UUID,
    session: ReadDb,
    caller: Reader,
    wanted: Filtered,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: ExecutionSort = ExecutionSort.NEWEST,
) -> Page[ExecutionSummary]:
    """Also those of a workflow that has been deleted since."""
    await service.require_workflow(session, workflow_id)
    return await service.list_executions(session, replace(wanted, workflow_id=workflow_id), limit, cursor, sort)


@router.get("/executions/{execution_id}", responses=responses(NotAllowed, ExecutionNotFound))
async def get_execution(execution_id: UUID, session: ReadDb, caller: Reader) -> ExecutionDetail:
    """With its steps, in the order in which they were reached."""
    return await service.read_execution(session, execution_id)


@router.get("/executions/{execution_id}/calls", responses=responses(NotAllowed, ExecutionNotFound))
async def list_calls(
    execution_id: UUID,
    session: ReadDb,
    caller: Reader,
    limit: CallLimit = 20,
    cursor: Cursor = None,
    step_id: UUID | None = None,
    kind: CallKind | None = None,
) -> Page[CallOut]:
    """The journal: what the execution asked of models, tools and knowledge, and what came back; the oldest first."""
    return await service.list_calls(session, execution_id, limit, cursor, step_id, kind)


@router.get("/executions/{execution_id}/logs", responses=responses(NotAllowed, ExecutionNotFound))
async def list_logs(
    execution_id: UUID,
    session: ReadDb,
    caller: Reader,
    limit: Limit = 100,
    cursor: Cursor = None,
    level: Annotated[LogLevel | None, Query(description="This level and those above it.")] = None,
) -> Page[LogOut]:
    """What the steps logged, the oldest first."""
    return await service.list_logs(session, execution_id, limit, cursor, level)
