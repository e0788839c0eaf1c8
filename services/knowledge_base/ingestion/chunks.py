"""Chunks and their vectors in Postgres: written and read some hundreds at a time, however long a document is."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, LargeBinary, and_, bindparam, delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.dialects.postgresql import insert

from services.knowledge_base.ingestion.chunk import Chunk
from services.knowledge_base.ingestion.embedded import as_embedded
from services.knowledge_base.ingestion.owner import Owner
from shared.database.session import ReadSession, WriteSession
from shared.database.tables import knowledge as tables
from shared.kit.json import JsonObject, canonical
from shared.knowledge.index import VectorRecord


@dataclass(frozen=True, slots=True)
class Unembedded:
    ordinal: int
    chunk_id: UUID
    text: str


async def add_chunks(session: WriteSession, owner: Owner, chunks: Sequence[Chunk]) -> None:
    rows = [
        {
            "id": chunk_id(owner, chunk),
            "tenant_id": owner.tenant_id,
            "knowledge_base_id": owner.knowledge_base_id,
            "document_id": owner.document_id,
            "revision": owner.revision,
            **asdict(chunk),
        }
        for chunk in chunks
    ]
    if rows:
        await session.execute(insert(tables.Chunk).on_conflict_do_nothing(index_elements=["id"]), rows)


async def delete_revision(session: WriteSession, owner: Owner) -> None:
    await session.execute(
        delete(tables.Chunk).where(
            tables.Chunk.document_id == owner.document_id, tables.Chunk.revision == owner.revision
        )
    )


async def delete_other_revisions(session: WriteSession, owner: Owner) -> int:
    """Their number."""
    others = tables.Chunk.document_id == owner.document_id, tables.Chunk.revision != owner.revision
    gone = delete(tables.Chunk).where(*others).returning(tables.Chunk.id).cte("gone")
    return await session.scalar(select(func.count()).select_from(gone)) or 0


async def count_chunks(session: ReadSession, owner: Owner, index_id: UUID) -> tuple[int, int]:
    """All of this revision, and those that have a vector in the index."""
    statement = (
        select(func.count(), func.count(tables.ChunkEmbedding.chunk_id))
        .select_from(tables.Chunk)
        .outerjoin(tables.ChunkEmbedding, _vector_in(index_id))
        .where(*_of(owner))
    )
    row = (await session.execute(statement)).one()
    return row[0], row[1]


async def copy_vectors(session: WriteSession, owner: Owner, index_id: UUID) -> None:
    """What an earlier processing has computed for the same words."""
    values = {"document": owner.document_id, "revision": owner.revision, "index": index_id}
    await session.execute(_COPY, values)


async def get_unembedded(
    session: ReadSession, owner: Owner, index_id: UUID, after: int, limit: int
) -> list[Unembedded]:
    vector = exists().where(_vector_in(index_id))
    statement = (
        select(
            tables.Chunk.ordinal, tables.Chunk.id, tables.Chunk.headings, tables.Chunk.table_header, tables.Chunk.text
        )
        .where(*_of(owner), tables.Chunk.ordinal > after, ~vector)
        .order_by(tables.Chunk.ordinal)
        .limit(limit)
    )
    return [
        Unembedded(row.ordinal, row.id, as_embedded(row.headings, row.table_header, row.text))
        for row in await session.execute(statement)
    ]


async def put_vectors(session: WriteSession, tenant_id: UUID, index_id: UUID, vectors: dict[UUID, bytes]) -> None:
    """Of chunks that were deleted meanwhile none is kept. Hold their documents, so that none is deleted just now."""
    values = {"tenant": tenant_id, "index": index_id, "ids": list(vectors), "vectors": list(vectors.values())}
    await session.execute(_PUT, values)


async def get_vectors(
    session: ReadSession, owner: Owner, index_id: UUID, after: int, limit: int
) -> list[tuple[int, VectorRecord]]:
    """Chunks that have a vector in the index, in order, with their ordinals."""
    statement = (
        select(tables.Chunk.ordinal, tables.Chunk.id, tables.ChunkEmbedding.vector)
        .join(tables.ChunkEmbedding, _vector_in(index_id))
        .where(*_of(owner), tables.Chunk.ordinal > after)
        .order_by(tables.Chunk.ordinal)
        .limit(limit)
    )
    return [
        (row.ordinal, VectorRecord(row.id, owner.document_id, row.vector)) for row in await session.execute(statement)
    ]


@dataclass(frozen=True, slots=True)
class ChunkText:
    chunk_id: UUID
    document_id: UUID
    text: str


async def get_texts(session: ReadSession, chunk_ids: Sequence[UUID]) -> list[ChunkText]:
    """As they are embedded."""
    statement = select(
        tables.Chunk.id,
        tables.Chunk.document_id,
        tables.Chunk.headings,
        tables.Chunk.table_header,
        tables.Chunk.text,
    ).where(tables.Chunk.id.in_(chunk_ids))
    return [
        ChunkText(row.id, row.document_id, as_embedded(row.headings, row.table_header, row.text))
        for row in await session.execute(statement)
    ]


async def get_records(session: ReadSession, index_id: UUID, chunk_ids: Sequence[UUID]) -> list[VectorRecord]:
    statement = (
        select(tables.Chunk.id, tables.Chunk.document_id, tables.ChunkEmbedding.vector)
        .join(tables.ChunkEmbedding, _vector_in(index_id))
        .where(tables.Chunk.id.in_(chunk_ids))
    )
    return [VectorRecord(row.id, row.document_id, row.vector) for row in await session.execute(statement)]


async def get_chunk_ids(session: ReadSession, document_id: UUID) -> set[UUID]:
    """Of all its revisions."""
    return set(await session.scalars(select(tables.Chunk.id).where(tables.Chunk.document_id == document_id)))


def chunk_id(owner: Owner, chunk: Chunk) -> UUID:
    """The same for the same chunk of the same revision, whichever run makes it: a UUIDv7 with the document's time
    and a hash in place of what is random."""
    content: JsonObject = {"document": str(owner.document_id), "revision": owner.revision, **asdict(chunk)}
    digest = int.from_bytes(hashlib.sha256(canonical(content)).digest()[:10])
    time = owner.document_id.int >> 80
    return UUID(int=time << 80 | 0x7 << 76 | (digest >> 68) << 64 | 0b10 << 62 | digest & (1 << 62) - 1)


def _of(owner: Owner) -> tuple[ColumnElement[bool], ...]:
    return tables.Chunk.document_id == owner.document_id, tables.Chunk.revision == owner.revision


def _vector_in(index_id: UUID) -> ColumnElement[bool]:
    return and_(tables.ChunkEmbedding.chunk_id == tables.Chunk.id, tables.ChunkEmbedding.index_id == index_id)


_COPY = text(
    """
    INSERT INTO chunk_embeddings (tenant_id, chunk_id, index_id, vector)
    SELECT fresh.tenant_id, fresh.id, known.index_id, known.vector
    FROM chunks fresh
    JOIN (
        SELECT DISTINCT ON (c.text, c.headings, coalesce(c.table_header, ''))
               c.text, c.headings, coalesce(c.table_header, '') AS table_header, e.index_id, e.vector
        FROM chunks c
        JOIN chunk_embeddings e ON e.chunk_id = c.id AND e.index_id = :index
        WHERE c.document_id = :document AND c.revision <> :revision
        ORDER BY c.text, c.headings, coalesce(c.table_header, '')
    ) known ON known.text = fresh.text AND known.headings = fresh.headings
           AND known.table_header = coalesce(fresh.table_header, '')
    WHERE fresh.document_id = :document AND fresh.revision = :revision
    ON CONFLICT DO NOTHING
    """
)

_PUT = text(
    """
    INSERT INTO chunk_embeddings (tenant_id, chunk_id, index_id, vector)
    SELECT :tenant, c.id, :index, made.vector
    FROM unnest(:ids, :vectors) AS made (id, vector) JOIN chunks c ON c.id = made.id
    ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("ids", type_=ARRAY(PgUuid)), bindparam("vectors", type_=ARRAY(LargeBinary)))
