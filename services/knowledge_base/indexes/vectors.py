"""Vectors of a whole knowledge base, some hundreds at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, and_, any_, bindparam, exists, select
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.orm import aliased

from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.ingestion.chunks import put_vectors as put
from services.knowledge_base.ingestion.embedded import as_embedded
from shared.database.session import ReadSession
from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document
from shared.kit.ids import new_id
from shared.knowledge.index import VectorRecord

__all__ = ["Missing", "get_kept", "get_missing", "not_chunks", "put"]

_NO_INDEX = new_id()


@dataclass(frozen=True, slots=True)
class Missing:
    """A chunk that is found and has no vector in an index; `vector` is what another index has of the same model."""

    chunk_id: UUID
    document_id: UUID
    text: str
    vector: bytes | None


async def get_missing(
    session: ReadSession, knowledge_base_id: UUID, index_id: UUID, same: Target | None, after: UUID | None, limit: int
) -> list[Missing]:
    """In the order of their ids."""
    kept = aliased(ChunkEmbedding)
    own = exists().where(kept.chunk_id == Chunk.id, kept.index_id == index_id)
    in_same = _vector_in(same.index_id if same else _NO_INDEX)
    statement = (
        select(Chunk.id, Chunk.document_id, Chunk.headings, Chunk.table_header, Chunk.text, ChunkEmbedding.vector)
        .join(Document, and_(Document.id == Chunk.document_id, Document.revision == Chunk.revision))
        .outerjoin(ChunkEmbedding, in_same)
        .where(Chunk.knowledge_base_id == knowledge_base_id, ~own)
        .order_by(Chunk.id)
        .limit(limit)
    )
    return [
        Missing(row.id, row.document_id, as_embedded(row.headings, row.table_header, row.text), row.vector)
        for row in await session.execute(statement if after is None else statement.where(Chunk.id > after))
    ]


async def get_kept(session: ReadSession, index_id: UUID, after: UUID | None, limit: int) -> list[VectorRecord]:
    """What should be in the index, in the order of chunks' ids."""
    statement = (
        select(Chunk.id, Chunk.document_id, ChunkEmbedding.vector)
        .join(ChunkEmbedding, _vector_in(index_id))
        .order_by(Chunk.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(Chunk.id > after)
    return [VectorRecord(row.id, row.document_id, row.vector) for row in await session.execute(statement)]


async def not_chunks(session: ReadSession, chunk_ids: Sequence[UUID]) -> list[UUID]:
    """Those of these ids that no chunk has."""
    wanted = bindparam("wanted", list(chunk_ids), type_=ARRAY(PgUuid))
    known = set(await session.scalars(select(Chunk.id).where(Chunk.id == any_(wanted))))
    return [one for one in chunk_ids if one not in known]


def _vector_in(index_id: UUID) -> ColumnElement[bool]:
    return and_(ChunkEmbedding.chunk_id == Chunk.id, ChunkEmbedding.index_id == index_id)
