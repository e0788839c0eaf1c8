from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Document, DocumentVersion, KnowledgeLimits

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('quarterdeck.knowledge_limits:' || :tenant, 0))")


@dataclass(frozen=True, slots=True)
class Used:
    documents: int
    bytes: int


async def find_own(session: ReadSession, tenant_id: UUID) -> KnowledgeLimits | None:
    return await session.get(KnowledgeLimits, tenant_id)


async def put_own(session: WriteSession, tenant_id: UUID, values: dict[str, Any]) -> None:
    """Two who put at the same moment both succeed, and the later one stands."""
    statement = insert(KnowledgeLimits).values(tenant_id=tenant_id, **values)
    changes = {**values, "updated_at": func.now()}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=changes))


async def count_used(session: ReadSession, tenant_id: UUID) -> Used:
    documents = select(func.count()).where(Document.tenant_id == tenant_id).scalar_subquery()
    stored = select(func.coalesce(func.sum(DocumentVersion.size_bytes), 0)).where(
        DocumentVersion.tenant_id == tenant_id
    )
    row = (await session.execute(select(documents, stored.scalar_subquery()))).one()
    return Used(row[0], int(row[1]))


async def take_turn(session: WriteSession, tenant_id: UUID) -> None:
    """Waits for other transactions of the tenant that have counted, and makes later ones wait for this one's end."""
    await session.execute(_LOCK, {"tenant": str(tenant_id)})
