from typing import Annotated

from fastapi import APIRouter, Depends

from services.knowledge_base.limits import service
from services.knowledge_base.limits.errors import MoreThanAllowed
from services.knowledge_base.limits.schemas import KnowledgeLimitsOut, KnowledgeLimitsPut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["knowledge bases"])

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]
Admin = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_LIMITS_WRITE))]


@router.get("/knowledge-limits", responses=responses(NotAllowed))
async def get_knowledge_limits(session: ReadDb, app: App, caller: Reader) -> KnowledgeLimitsOut:
    """How much the tenant may keep, and how much it does."""
    return await service.read_limits(session, app.settings, caller.tenant_id)


@router.put("/knowledge-limits", responses=responses(NotAllowed, MoreThanAllowed))
async def put_knowledge_limits(
    request: KnowledgeLimitsPut, session: WriteDb, app: App, caller: Admin
) -> KnowledgeLimitsOut:
    """The tenant's own limits. What is there already stays, also beyond them."""
    return await service.put_limits(session, app.settings, caller, request)
