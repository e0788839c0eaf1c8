from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from shared.database.session import ReadSession
from shared.database.tables.auth import ApiKey


async def keys_of(session: ReadSession, user_id: UUID, after: UUID | None, limit: int) -> Sequence[ApiKey]:
    statement = (
        select(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .order_by(ApiKey.id.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(ApiKey.id < after)
    return (await session.scalars(statement)).all()


async def get_key(session: ReadSession, user_id: UUID, key_id: UUID) -> ApiKey | None:
    return await session.scalar(
        select(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    )
