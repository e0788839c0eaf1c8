from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from services.knowledge_base.bases.schemas import KnowledgeBaseSort
from shared.database.session import ReadSession
from shared.database.tables.knowledge import Document, KnowledgeBase


async def list_bases(
    session: ReadSession, *, name: str | None, after: UUID | None, limit: int, sort: KnowledgeBaseSort
) -> Sequence[KnowledgeBase]:
    """`after` is the last one shown; ids sort by time of creation."""
    newest = sort is KnowledgeBaseSort.NEWEST
    statement = select(KnowledgeBase).order_by(KnowledgeBase.id.desc() if newest else KnowledgeBase.id).limit(limit)
    if name:
        statement = statement.where(KnowledgeBase.name.icontains(name, autoescape=True))
    if after is not None:
        statement = statement.where(KnowledgeBase.id < after if newest else KnowledgeBase.id > after)
    return (await session.scalars(statement)).all()


async def get_base(session: ReadSession, knowledge_base_id: UUID) -> KnowledgeBase | None:
    return await session.get(KnowledgeBase, knowledge_base_id)


async def count_contents(session: ReadSession, knowledge_base_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """Per knowledge base its documents and the chunks of those that are ready."""
    statement = (
        select(Document.knowledge_base_id, func.count(), func.sum(Document.chunk_count))
        .where(Document.knowledge_base_id.in_(knowledge_base_ids))
        .group_by(Document.knowledge_base_id)
    )
    return {base: (documents, chunks or 0) for base, documents, chunks in await session.execute(statement)}
