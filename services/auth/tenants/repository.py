from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, func, select, update

from shared.auth.permissions import Role
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.auth import ApiKey, LoginSession, Membership, Tenant, User
from shared.kit.clock import utcnow

MemberRow = Row[UUID, str, str, str, datetime]


async def tenants_of(session: ReadSession, user_id: UUID) -> Sequence[Row[UUID, str, datetime, str]]:
    statement = (
        select(Tenant.id, Tenant.name, Tenant.created_at, Membership.role)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(Membership.user_id == user_id)
        .order_by(Tenant.id)
    )
    return (await session.execute(statement)).all()


async def members(
    session: ReadSession, tenant_id: UUID, *, after: UUID | None = None, limit: int = 1, user_id: UUID | None = None
) -> Sequence[MemberRow]:
    statement = (
        select(Membership.user_id, User.email, User.display_name, Membership.role, Membership.created_at)
        .join(User, User.id == Membership.user_id)
        .where(Membership.tenant_id == tenant_id)
        .order_by(Membership.user_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(Membership.user_id > after)
    if user_id is not None:
        statement = statement.where(Membership.user_id == user_id)
    return (await session.execute(statement)).all()


async def membership(session: WriteSession, tenant_id: UUID, user_id: UUID) -> Membership | None:
    return await session.scalar(
        select(Membership).where(Membership.tenant_id == tenant_id, Membership.user_id == user_id)
    )


async def revoke_access(session: WriteSession, tenant_id: UUID, user_id: UUID) -> None:
    """Ends the person's sessions and API keys in this tenant."""
    for table in (LoginSession, ApiKey):
        await session.execute(
            update(table)
            .where(table.tenant_id == tenant_id, table.user_id == user_id, table.revoked_at.is_(None))
            .values(revoked_at=utcnow())
        )


async def lock_owners(session: WriteSession, tenant_id: UUID) -> int:
    """How many owners there are; none can go or come until this transaction ends."""
    owners = select(Membership.user_id).where(Membership.tenant_id == tenant_id, Membership.role == Role.OWNER)
    locked = owners.with_for_update().subquery()
    return await session.scalar(select(func.count()).select_from(locked)) or 0
