"""Indexes of knowledge bases: the one that answers, and one that may be being built beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert

from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document, KnowledgeBase, KnowledgeIndex

ACTIVE = "active"
BUILDING = "building"


@dataclass(frozen=True, slots=True)
class Target:
    """An index, and the model whose vectors it has; None is the built-in one."""

    index_id: UUID
    model_id: UUID | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Chunks that are found, and those of them that have a vector in an index."""

    chunks: int
    embedded: int


async def get_active(session: ReadSession, knowledge_base_id: UUID, *, lock: bool = False) -> Target | None:
    """None without the knowledge base. `lock` keeps the index from being replaced until the transaction ends."""
    statement = select(KnowledgeBase.index_id).where(KnowledgeBase.id == knowledge_base_id)
    if lock:
        statement = statement.with_for_update(read=True)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    index_id = row.index_id or knowledge_base_id
    model_id = await session.scalar(select(KnowledgeIndex.model_id).where(KnowledgeIndex.id == index_id))
    return Target(index_id, model_id)


async def list_indexes(session: ReadSession, knowledge_base_ids: Sequence[UUID]) -> list[KnowledgeIndex]:
    statement = select(KnowledgeIndex).where(KnowledgeIndex.knowledge_base_id.in_(knowledge_base_ids))
    return list(await session.scalars(statement))


async def ensure_first(session: WriteSession, tenant_id: UUID, knowledge_base_id: UUID) -> None:
    """A knowledge base that the release before has made has none in the tables."""
    base = select(
        KnowledgeBase.id, literal(tenant_id), KnowledgeBase.id, KnowledgeBase.embedding_model, literal(ACTIVE)
    ).where(KnowledgeBase.id == knowledge_base_id, KnowledgeBase.index_id.is_(None))
    columns = ["id", "tenant_id", "knowledge_base_id", "model_name", "status"]
    await session.execute(insert(KnowledgeIndex).from_select(columns, base).on_conflict_do_nothing())


async def get_coverage(session: ReadSession, knowledge_base_id: UUID, index_id: UUID) -> Coverage:
    statement = (
        select(func.count(), func.count(ChunkEmbedding.chunk_id))
        .select_from(Chunk)
        .join(Document, (Document.id == Chunk.document_id) & (Document.revision == Chunk.revision))
        .outerjoin(ChunkEmbedding, (ChunkEmbedding.chunk_id == Chunk.id) & (ChunkEmbedding.index_id == index_id))
        .where(Document.knowledge_base_id == knowledge_base_id)
    )
    row = (await session.execute(statement)).one()
    return Coverage(row[0], row[1])


async def exists(session: ReadSession, index_id: UUID) -> bool:
    """In a transaction that changes something, it stays until that ends."""
    statement = select(KnowledgeIndex.id).where(KnowledgeIndex.id == index_id)
    return await session.scalar(statement) is not None
