from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from services.tools.tools import service, trial
from services.tools.tools.errors import ToolInUse, ToolInvalid, ToolNameTaken, ToolNeedsConfirmation, ToolNotFound
from services.tools.tools.repository import Filters
from services.tools.tools.schemas import ToolIn, ToolKind, ToolOut, ToolSort, ToolTried, ToolTry
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.schemas import Text
from shared.workflow.states import Effect

router = APIRouter(tags=["tools"])

Reader = Annotated[Principal, Depends(requires(Permission.TOOLS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.TOOLS_WRITE))]
# It does what an execution would do.
Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]


def _filters(
    q: Annotated[Text | None, Query(max_length=200, description="In name and description.")] = None,
    kind: ToolKind | None = None,
    effect: Effect | None = None,
) -> Filters:
    return Filters(q=q, kind=kind, effect=effect)


@router.get("/tools", responses=responses(NotAllowed))
async def list_tools(
    session: ReadDb,
    caller: Reader,
    filters: Annotated[Filters, Depends(_filters)],
    sort: ToolSort = ToolSort.NAME,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ToolOut]:
    """All that an agent can be given: the tools that come with the product, and those made here."""
    return await service.list_tools(session, filters, sort, limit, cursor)


@router.post("/tools", status_code=status.HTTP_201_CREATED, responses=responses(NotAllowed, ToolInvalid, ToolNameTaken))
async def create_tool(request: ToolIn, session: WriteDb, app: App, caller: Writer) -> ToolOut:
    return await service.create(session, app.outbound.policy, caller, request)


@router.get("/tools/{tool_id}", responses=responses(NotAllowed, ToolNotFound))
async def get_tool(tool_id: UUID, session: ReadDb, caller: Reader) -> ToolOut:
    return await service.get(session, tool_id)


@router.put("/tools/{tool_id}", responses=responses(NotAllowed, ToolNotFound, ToolInvalid, ToolNameTaken, ToolInUse))
async def update_tool(tool_id: UUID, request: ToolIn, session: WriteDb, app: App, caller: Writer) -> ToolOut:
    """Executions that were started before keep the tool as it was. Its name stays while something uses it."""
    return await service.update(session, app.outbound.policy, tool_id, request)


@router.delete(
    "/tools/{tool_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, ToolNotFound, ToolInUse),
)
async def delete_tool(tool_id: UUID, session: WriteDb, caller: Writer) -> None:
    await service.delete(session, tool_id)


@router.post("/tools/{tool_id}/try", responses=responses(NotAllowed, ToolNotFound, ToolNeedsConfirmation))
async def try_tool(tool_id: UUID, request: ToolTry, app: App, caller: Runner) -> ToolTried:
    """Uses the tool once, in earnest and outside any execution."""
    return await trial.run(app, caller, tool_id, request)
