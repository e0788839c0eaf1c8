from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from services.agents import service, trial
from services.agents.errors import AgentInUse, AgentInvalid, AgentNotFound
from services.agents.repository import Filters
from services.agents.schemas import AgentClone, AgentIn, AgentOut, AgentSort, AgentTest, ToolOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import IdempotencyMismatch
from shared.executions.schemas import ExecutionSummary
from shared.executions.snapshot import WorkflowInvalid
from shared.executions.submit import IdempotencyKey
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.schemas import Text

router = APIRouter(tags=["agents"])

Reader = Annotated[Principal, Depends(requires(Permission.AGENTS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.AGENTS_WRITE))]
Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]


def _filters(
    q: Annotated[Text | None, Query(max_length=200, description="In name, description and role.")] = None,
    model_id: UUID | None = None,
    tool: Annotated[Text | None, Query(max_length=200)] = None,
    knowledge_base_id: UUID | None = None,
) -> Filters:
    return Filters(q=q, model_id=model_id, tool=tool, knowledge_base_id=knowledge_base_id)


@router.get("/agents", responses=responses(NotAllowed))
async def list_agents(
    session: ReadDb,
    caller: Reader,
    filters: Annotated[Filters, Depends(_filters)],
    sort: AgentSort = AgentSort.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AgentOut]:
    return await service.list_agents(session, filters, sort, limit, cursor)


@router.post("/agents", status_code=status.HTTP_201_CREATED, responses=responses(NotAllowed, AgentInvalid))
async def create_agent(request: AgentIn, session: WriteDb, caller: Writer) -> AgentOut:
    return await service.create(session, caller, request)


@router.get("/agents/tools", responses=responses(NotAllowed))
async def list_builtin_tools(caller: Reader) -> Page[ToolOut]:
    """The tools that come with the product and can be given to any agent."""
    return service.list_tools()


@router.get("/agents/{agent_id}", responses=responses(NotAllowed, AgentNotFound))
async def get_agent(agent_id: UUID, session: ReadDb, caller: Reader) -> AgentOut:
    return await service.get(session, agent_id)


@router.put("/agents/{agent_id}", responses=responses(NotAllowed, AgentNotFound, AgentInvalid))
async def update_agent(agent_id: UUID, request: AgentIn, session: WriteDb, caller: Writer) -> AgentOut:
    """Executions that were started before keep the agent as it was."""
    return await service.update(session, agent_id, request)


@router.delete(
    "/agents/{agent_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, AgentNotFound, AgentInUse),
)
async def delete_agent(agent_id: UUID, session: WriteDb, caller: Writer) -> None:
    await service.delete(session, agent_id)


@router.post(
    "/agents/{agent_id}/clone",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, AgentNotFound),
)
async def clone_agent(agent_id: UUID, session: WriteDb, caller: Writer, request: AgentClone | None = None) -> AgentOut:
    return await service.clone(session, caller, agent_id, request or AgentClone())


@router.post(
    "/agents/{agent_id}/test",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, AgentNotFound, WorkflowInvalid, IdempotencyMismatch),
)
async def try_agent(
    agent_id: UUID,
    request: AgentTest,
    session: WriteDb,
    app: App,
    caller: Runner,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionSummary:
    """Starts an execution in which the agent does this one task; its answer is the output `text`."""
    return await trial.start(session, caller, agent_id, request, idempotency_key, app.doorbell.ring)
