"""What an ingestion reads and writes. Every write takes the document's row first and changes nothing if it is gone,
or if another execution has taken the document over."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Table, all_, delete, func, select, update
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import bindparam

from services.knowledge_base.ingestion.chunk import Chunk, ChunkPolicy
from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted, Heading
from shared.database.session import ReadSession, WriteSession
from shared.database.tables import knowledge as tables
from shared.kit.json import JsonObject, canonical
from shared.knowledge.index import VectorRecord


@dataclass(frozen=True, slots=True)
class Owner:
    """An ingestion and its document."""

    tenant_id: UUID
    execution_id: UUID
    knowledge_base_id: UUID
    document_id: UUID


@dataclass(frozen=True, slots=True)
class Original:
    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Unembedded:
    chunk_id: UUID
    text: str
    headings: list[str]


async def hold(session: WriteSession, owner: Owner) -> bool:
    """Locks the document until the transaction ends; False if this ingestion has no business with it any more."""
    statement = select(tables.Document.id).where(
        tables.Document.id == owner.document_id, tables.Document.execution_id == owner.execution_id
    )
    return await session.scalar(statement.with_for_update()) is not None


async def set_document(session: WriteSession, owner: Owner, **values: Any) -> None:
    await session.execute(update(tables.Document).where(tables.Document.id == owner.document_id).values(**values))


async def get_original(session: ReadSession, owner: Owner) -> Original | None:
    statement = (
        select(tables.Document.name, tables.Document.media_type, tables.DocumentContent.original)
        .join(tables.DocumentContent, tables.DocumentContent.document_id == tables.Document.id)
        .where(tables.Document.id == owner.document_id)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else Original(row.name, row.media_type, row.original)


async def get_policy(session: ReadSession, owner: Owner) -> tuple[ChunkPolicy, str] | None:
    """How the knowledge base cuts, and what it embeds with."""
    base = await session.get(tables.KnowledgeBase, owner.knowledge_base_id)
    return None if base is None else (ChunkPolicy(base.chunk_size, base.chunk_overlap), base.embedding_model)


async def set_extracted(session: WriteSession, owner: Owner, extracted: Extracted) -> None:
    structure = asdict(extracted)
    structure["headings"] = [[heading.level, heading.title, heading.start] for heading in extracted.headings]
    statement = update(tables.DocumentContent).where(tables.DocumentContent.document_id == owner.document_id)
    await session.execute(statement.values(text=structure.pop("text"), structure=structure))


async def get_extracted(session: ReadSession, owner: Owner) -> Extracted | None:
    statement = select(tables.DocumentContent.text, tables.DocumentContent.structure).where(
        tables.DocumentContent.document_id == owner.document_id
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None or row.text is None or row.structure is None:
        return None
    return Extracted(
        format=DocumentFormat(row.structure["format"]),
        text=row.text,
        pages=tuple(row.structure["pages"]),
        headings=tuple(Heading(*heading) for heading in row.structure["headings"]),
        warnings=tuple(row.structure["warnings"]),
    )


async def replace_chunks(session: WriteSession, owner: Owner, model: str, chunks: Sequence[Chunk]) -> None:
    """Chunks that were there before and are the same now stay, with their embeddings."""
    rows = [
        {
            "id": chunk_id(owner.document_id, model, chunk),
            "tenant_id": owner.tenant_id,
            "knowledge_base_id": owner.knowledge_base_id,
            "document_id": owner.document_id,
            **asdict(chunk),
        }
        for chunk in chunks
    ]
    stay = bindparam("stay", [row["id"] for row in rows], type_=ARRAY(PgUuid))  # one parameter, however many
    await session.execute(
        delete(tables.Chunk).where(tables.Chunk.document_id == owner.document_id, tables.Chunk.id != all_(stay))
    )
    await session.execute(insert(tables.Chunk).on_conflict_do_nothing(index_elements=["id"]), rows)


async def count_chunks(session: ReadSession, owner: Owner) -> tuple[int, int]:
    """All, and those that have an embedding."""
    statement = select(func.count(), func.count(tables.Chunk.embedding))
    row = (await session.execute(statement.where(tables.Chunk.document_id == owner.document_id))).one()
    return row[0], row[1]


async def get_unembedded(session: ReadSession, owner: Owner, limit: int) -> list[Unembedded]:
    statement = (
        select(tables.Chunk.id, tables.Chunk.text, tables.Chunk.headings)
        .where(tables.Chunk.document_id == owner.document_id, tables.Chunk.embedding.is_(None))
        .order_by(tables.Chunk.ordinal)
        .limit(limit)
    )
    return [Unembedded(row.id, row.text, row.headings) for row in await session.execute(statement)]


async def set_embeddings(session: WriteSession, embeddings: Sequence[tuple[UUID, bytes]]) -> None:
    statement = update(cast(Table, tables.Chunk.__table__)).where(tables.Chunk.id == bindparam("chunk"))
    await session.execute(
        statement.values(embedding=bindparam("vector")),
        [{"chunk": chunk, "vector": vector} for chunk, vector in embeddings],
    )


async def get_vectors(session: ReadSession, owner: Owner, after: int, limit: int) -> list[tuple[int, VectorRecord]]:
    """Chunks that have an embedding, in order, with their ordinals."""
    statement = (
        select(tables.Chunk.ordinal, tables.Chunk.id, tables.Chunk.embedding)
        .where(
            tables.Chunk.document_id == owner.document_id,
            tables.Chunk.ordinal > after,
            tables.Chunk.embedding.is_not(None),
        )
        .order_by(tables.Chunk.ordinal)
        .limit(limit)
    )
    return [
        (row.ordinal, VectorRecord(row.id, owner.document_id, row.embedding))
        for row in await session.execute(statement)
    ]


async def get_chunk_ids(session: ReadSession, owner: Owner) -> set[UUID]:
    return set(await session.scalars(select(tables.Chunk.id).where(tables.Chunk.document_id == owner.document_id)))


def chunk_id(document_id: UUID, model: str, chunk: Chunk) -> UUID:
    """The same for the same chunk of the same document, whichever run makes it: a UUIDv7 with the document's time
    and a hash in place of what is random."""
    content: JsonObject = {"document": str(document_id), "model": model, **asdict(chunk)}
    digest = int.from_bytes(hashlib.sha256(canonical(content)).digest()[:10])
    time = document_id.int >> 80
    return UUID(int=time << 80 | 0x7 << 76 | (digest >> 68) << 64 | 0b10 << 62 | digest & (1 << 62) - 1)
