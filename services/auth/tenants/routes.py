from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response, status

from services.auth.accounts.routes import Accounts, answer
from services.auth.accounts.schemas import TokenAnswer
from services.auth.tenants import service
from services.auth.tenants.errors import AlreadyMember, LastOwner, NewPersonIncomplete
from services.auth.tenants.schemas import MemberAdd, MemberOut, MemberUpdate, RoleOut, TenantCreate, TenantOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import PERMISSIONS, Permission
from shared.auth.principal import Principal
from shared.web.dependencies import App, Caller, ReadDb, WriteDb, requires
from shared.web.errors import NotFound, responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.throttle import TooManyRequests

router = APIRouter(tags=["tenants"])

Reader = Annotated[Principal, Depends(requires(Permission.MEMBERS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.MEMBERS_WRITE))]


@router.get("/tenants")
async def list_tenants(session: ReadDb, caller: Caller) -> Page[TenantOut]:
    """The tenants the caller is a member of."""
    return await service.list_tenants(session, caller)


@router.post("/tenants", status_code=status.HTTP_201_CREATED, responses=responses(NotAllowed))
async def create_tenant(request: TenantCreate, app: App, caller: Caller) -> TenantOut:
    if caller.session_id is None:
        raise NotAllowed("An API key belongs to one tenant: sign in to make another.")
    return await service.create(app, caller, request)


@router.post("/tenants/{tenant_id}/switch", responses=responses(NotFound, NotAllowed))
async def switch_tenant(
    tenant_id: UUID, response: Response, app: App, session: ReadDb, caller: Caller, accounts: Accounts
) -> TokenAnswer:
    """Signs the caller in to another tenant that he is a member of."""
    if caller.session_id is None:
        raise NotAllowed("An API key belongs to one tenant.")
    await service.require_membership(session, caller, tenant_id)
    return answer(response, app, await accounts.switch(caller, tenant_id))


@router.get("/tenants/{tenant_id}/members", responses=responses(NotFound))
async def list_members(
    tenant_id: UUID, session: ReadDb, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[MemberOut]:
    service.require_current(caller, tenant_id)
    return await service.list_members(session, tenant_id, limit, cursor)


@router.post(
    "/tenants/{tenant_id}/members",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotFound, NotAllowed, AlreadyMember, NewPersonIncomplete, TooManyRequests),
)
async def add_member(tenant_id: UUID, request: MemberAdd, session: WriteDb, app: App, caller: Writer) -> MemberOut:
    service.require_current(caller, tenant_id)
    return await service.add_member(session, app.throttle, caller, request)


@router.put("/tenants/{tenant_id}/members/{user_id}", responses=responses(NotFound, NotAllowed, LastOwner))
async def update_member(
    tenant_id: UUID, user_id: UUID, request: MemberUpdate, session: WriteDb, caller: Writer
) -> MemberOut:
    service.require_current(caller, tenant_id)
    return await service.update_member(session, caller, user_id, request)


@router.delete(
    "/tenants/{tenant_id}/members/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotFound, NotAllowed, LastOwner),
)
async def remove_member(tenant_id: UUID, user_id: UUID, session: WriteDb, caller: Writer) -> None:
    service.require_current(caller, tenant_id)
    await service.remove_member(session, caller, user_id)


@router.get("/roles")
async def list_roles(_: Reader) -> Page[RoleOut]:
    """The built-in roles and what each may do."""
    items = [RoleOut(name=role, permissions=sorted(permissions)) for role, permissions in PERMISSIONS.items()]
    return Page(items=items, next_cursor=None)
