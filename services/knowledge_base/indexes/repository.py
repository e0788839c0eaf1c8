"""Indexes of knowledge bases: the one that answers, and one that may be being built beside it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from services.knowledge_base import locks
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document, KnowledgeBase, KnowledgeIndex
from shared.database.tables.ledger import ExecutionRow

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


async def get_active(session: ReadSession, knowledge_base_id: UUID) -> Target | None:
    """None without the knowledge base."""
    statement = select(KnowledgeBase.index_id).where(KnowledgeBase.id == knowledge_base_id)
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


async def get_index(session: ReadSession, index_id: UUID) -> KnowledgeIndex | None:
    return await session.scalar(select(KnowledgeIndex).where(KnowledgeIndex.id == index_id))


async def get_building(session: ReadSession, knowledge_base_id: UUID) -> tuple[KnowledgeIndex, str | None] | None:
    """With what became of its execution; None of that if it is gone."""
    statement = (
        select(KnowledgeIndex, ExecutionRow.status)
        .outerjoin(ExecutionRow, ExecutionRow.id == KnowledgeIndex.execution_id)
        .where(KnowledgeIndex.knowledge_base_id == knowledge_base_id, KnowledgeIndex.status == BUILDING)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1])


async def get_target(session: ReadSession, index_id: UUID) -> Target | None:
    index = await get_index(session, index_id)
    return None if index is None else Target(index.id, index.model_id)


async def exists(session: ReadSession, index_id: UUID) -> bool:
    statement = select(KnowledgeIndex.id).where(KnowledgeIndex.id == index_id)
    return await session.scalar(statement) is not None


async def hold_index(session: WriteSession, index_id: UUID) -> bool:
    """Keeps it from being given up until the transaction ends; False if it was."""
    statement = select(KnowledgeIndex.id).where(KnowledgeIndex.id == index_id)
    return await session.scalar(statement.with_for_update(read=True, key_share=True)) is not None


async def hold(session: WriteSession, knowledge_base_id: UUID, index_id: UUID, document_ids: Collection[UUID]) -> bool:
    """Keeps all of these from being deleted until the transaction ends; False if the index is gone."""
    if not await locks.hold_base(session, knowledge_base_id):
        return False
    await locks.hold_documents(session, document_ids)
    return await hold_index(session, index_id)


async def lock_base(session: WriteSession, knowledge_base_id: UUID) -> KnowledgeBase | None:
    """Against all who publish a document just now."""
    statement = select(KnowledgeBase).where(KnowledgeBase.id == knowledge_base_id)
    return await session.scalar(statement.with_for_update(key_share=True))


async def replace_active(session: WriteSession, base: KnowledgeBase, index: KnowledgeIndex) -> UUID:
    """From now on `index` answers. Gives the one that did."""
    replaced = base.index_id or base.id
    await session.execute(delete(KnowledgeIndex).where(KnowledgeIndex.id == replaced))
    index.status = ACTIVE
    base.index_id = index.id
    base.embedding_model = index.model_name
    await session.flush()
    return replaced
