from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, Row, bindparam, select, text, update

from shared.database.session import ReadSession, WriteSession
from shared.database.tables.auth import LoginSession, Membership, RefreshToken, Tenant, User
from shared.kit.clock import utcnow

_FIND_USER = text("SELECT * FROM auth_find_user(:email)")
_FIND_TOKEN = text("SELECT * FROM auth_find_refresh_token(:hash)").bindparams(bindparam("hash", type_=LargeBinary))


@dataclass(frozen=True, slots=True)
class FoundToken:
    id: UUID
    session_id: UUID
    tenant_id: UUID
    user_id: UUID
    used_at: datetime | None
    expires_at: datetime
    revoked_at: datetime | None


async def find_user(session: ReadSession, email: str) -> Row[Any] | None:
    """`id, password_hash, disabled_at` of whoever has this address, in whatever tenant."""
    return (await session.execute(_FIND_USER, {"email": email})).one_or_none()


async def find_refresh_token(session: WriteSession, token_hash: bytes) -> FoundToken | None:
    """Locked until the transaction ends, so that a token is spent once."""
    row = (await session.execute(_FIND_TOKEN, {"hash": token_hash})).one_or_none()
    return FoundToken(*row) if row else None


async def first_tenant(session: ReadSession, user_id: UUID) -> UUID | None:
    """The tenant the person joined first."""
    return await session.scalar(
        select(Membership.tenant_id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.created_at, Membership.tenant_id)
        .limit(1)
    )


async def tenants_of(session: ReadSession, user_id: UUID) -> Sequence[UUID]:
    return (await session.scalars(select(Membership.tenant_id).where(Membership.user_id == user_id))).all()


async def get_user(session: ReadSession, user_id: UUID) -> User:
    return (await session.scalars(select(User).where(User.id == user_id))).one()


async def get_tenant(session: ReadSession, tenant_id: UUID) -> Tenant:
    return (await session.scalars(select(Tenant).where(Tenant.id == tenant_id))).one()


async def is_active_member(session: ReadSession, tenant_id: UUID, user_id: UUID) -> bool:
    statement = (
        select(Membership.user_id)
        .join(User, User.id == Membership.user_id)
        .where(Membership.tenant_id == tenant_id, Membership.user_id == user_id, User.disabled_at.is_(None))
    )
    return await session.scalar(statement) is not None


async def mark_used(session: WriteSession, token_id: UUID) -> None:
    await session.execute(update(RefreshToken).where(RefreshToken.id == token_id).values(used_at=utcnow()))


async def revoke(session: WriteSession, session_ids: Sequence[UUID], reason: str) -> None:
    await session.execute(
        update(LoginSession)
        .where(LoginSession.id.in_(session_ids), LoginSession.revoked_at.is_(None))
        .values(revoked_at=utcnow(), revoked_reason=reason)
    )


async def other_sessions(session: ReadSession, user_id: UUID, keep: UUID | None) -> Sequence[UUID]:
    return (
        await session.scalars(
            select(LoginSession.id).where(
                LoginSession.user_id == user_id, LoginSession.revoked_at.is_(None), LoginSession.id != keep
            )
        )
    ).all()
