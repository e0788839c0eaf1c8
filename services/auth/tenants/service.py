from uuid import UUID

from services.auth.accounts import repository as accounts
from services.auth.accounts.service import create_tenant
from services.auth.tenants import repository
from services.auth.tenants.errors import AlreadyMember, LastOwner, NewPersonIncomplete
from services.auth.tenants.schemas import MemberAdd, MemberOut, MemberUpdate, TenantCreate, TenantOut
from shared.auth.errors import NotAllowed
from shared.auth.passwords import hash_password
from shared.auth.permissions import PERMISSIONS, Role, outranks_or_equals
from shared.auth.principal import Principal
from shared.database.session import ReadSession, Scope, WriteSession
from shared.database.tables.auth import Membership, Tenant, User
from shared.kit.ids import new_id
from shared.web.errors import NotFound
from shared.web.pagination import Page, decode_cursor, page
from shared.web.resources import Resources
from shared.web.throttle import Throttle

# The answer tells whether somebody has an account, and each new password costs a hash.
MEMBERS_ADDED = "100/hour"


async def list_tenants(session: ReadSession, principal: Principal) -> Page[TenantOut]:
    rows = await repository.tenants_of(session, principal.user_id)
    return Page(items=[TenantOut.model_validate(row) for row in rows], next_cursor=None)


async def create(app: Resources, principal: Principal, request: TenantCreate) -> TenantOut:
    """A further tenant with the caller as its owner."""
    tenant = Tenant(id=new_id(), name=request.name)
    async with app.database.write(Scope(tenant.id, principal.user_id)) as session:
        await create_tenant(session, tenant, principal.user_id)
        rows = await repository.tenants_of(session, principal.user_id)
        return next(TenantOut.model_validate(row) for row in rows if row.id == tenant.id)


async def require_membership(session: ReadSession, principal: Principal, tenant_id: UUID) -> None:
    if all(row.id != tenant_id for row in await repository.tenants_of(session, principal.user_id)):
        raise NotFound


def require_current(principal: Principal, tenant_id: UUID) -> None:
    """Members are read and changed in the tenant one is signed in to; any other is as if it were not there."""
    if principal.tenant_id != tenant_id:
        raise NotFound


async def list_members(session: ReadSession, tenant_id: UUID, limit: int, cursor: str | None) -> Page[MemberOut]:
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    rows = await repository.members(session, tenant_id, after=after, limit=limit + 1)
    return page(rows, limit, MemberOut.model_validate, lambda row: (row.user_id,))


async def add_member(session: WriteSession, throttle: Throttle, principal: Principal, request: MemberAdd) -> MemberOut:
    _require_may_give(principal, request.role)
    await throttle.check(MEMBERS_ADDED, "add member", str(principal.user_id))
    found = await accounts.find_user(session, request.email)
    user_id: UUID = found.id if found else await _new_person(session, principal, request)
    if await repository.membership(session, principal.tenant_id, user_id):
        raise AlreadyMember
    session.add(Membership(tenant_id=principal.tenant_id, user_id=user_id, role=request.role))
    await session.flush()
    return await _member(session, principal.tenant_id, user_id)


async def _new_person(session: WriteSession, principal: Principal, request: MemberAdd) -> UUID:
    if request.display_name is None or request.password is None:
        raise NewPersonIncomplete
    password_hash = await hash_password(request.password.get_secret_value())
    user = User(id=new_id(), email=request.email, display_name=request.display_name, password_hash=password_hash)
    # A person's row is written in that person's own scope; then the caller's is taken up again.
    await session.set_scope(Scope(principal.tenant_id, user.id))
    session.add(user)
    await session.flush()
    await session.set_scope(principal.scope)
    return user.id


async def update_member(session: WriteSession, principal: Principal, user_id: UUID, request: MemberUpdate) -> MemberOut:
    _require_may_give(principal, request.role)
    member = await _changeable(session, principal, user_id)
    if member.role == Role.OWNER and request.role != Role.OWNER:
        await _keep_an_owner(session, principal.tenant_id)
    member.role = request.role
    await session.flush()
    return await _member(session, principal.tenant_id, user_id)


async def remove_member(session: WriteSession, principal: Principal, user_id: UUID) -> None:
    """Takes effect on all of the person's sessions and keys in this tenant within seconds."""
    member = await _changeable(session, principal, user_id)
    if member.role == Role.OWNER:
        await _keep_an_owner(session, principal.tenant_id)
    # Were he made a member again, what he held before must not come back to life.
    await repository.revoke_access(session, principal.tenant_id, user_id)
    await session.delete(member)


async def _changeable(session: WriteSession, principal: Principal, user_id: UUID) -> Membership:
    member = await repository.membership(session, principal.tenant_id, user_id)
    if member is None:
        raise NotFound
    _require_rank(principal, Role(member.role))
    return member


def _require_rank(principal: Principal, role: Role) -> None:
    if not outranks_or_equals(principal.role, role):
        raise NotAllowed("Nobody gives or takes a role above his own.")


def _require_may_give(principal: Principal, role: Role) -> None:
    """An API key holds less than its person's role: what it does not hold it cannot get by making somebody who does."""
    _require_rank(principal, role)
    if not principal.permissions >= PERMISSIONS[role]:
        raise NotAllowed("An API key gives no role that may do more than the key's scopes.")


async def _keep_an_owner(session: WriteSession, tenant_id: UUID) -> None:
    if await repository.lock_owners(session, tenant_id) <= 1:
        raise LastOwner


async def _member(session: WriteSession, tenant_id: UUID, user_id: UUID) -> MemberOut:
    (row,) = await repository.members(session, tenant_id, user_id=user_id)
    return MemberOut.model_validate(row)
