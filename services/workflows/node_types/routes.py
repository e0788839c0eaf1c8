from typing import Annotated

from fastapi import APIRouter, Depends

from services.workflows.node_types.schemas import NodeTypeOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import requires
from shared.web.errors import responses
from shared.web.pagination import Page
from shared.workflow.node_types import node_types

router = APIRouter(tags=["workflows"])

Reader = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_READ))]


@router.get("/node-types", responses=responses(NotAllowed))
async def list_node_types(caller: Reader) -> Page[NodeTypeOut]:
    """All node types there are, on one page, each with the JSON Schema of its config."""
    return Page(items=[NodeTypeOut.model_validate(each) for each in node_types()], next_cursor=None)
