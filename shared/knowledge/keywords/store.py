"""Documents into the index of words and out of it, in the caller's transaction."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import delete, insert, select

from shared.database.session import ReadSession, WriteSession
from shared.database.tables.keywords import KeywordBlock, KeywordDocument, KeywordSegment
from shared.database.tables.knowledge import Document
from shared.kit.ids import new_id
from shared.knowledge.keywords.analysis import analyzer

if TYPE_CHECKING:
    from shared.knowledge.keywords.segment import Segment

_BLOCKS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class KeywordChunk:
    """`text` is what it is found by, with its headings."""

    id: UUID
    text: str


async def add(
    session: WriteSession,
    *,
    tenant_id: UUID,
    knowledge_base_id: UUID,
    document_id: UUID,
    revision: int,
    language: str,
    chunks: Sequence[KeywordChunk],
) -> None:
    """These are the document's chunks from now on. May be repeated."""
    await remove(session, [document_id])
    segments = await asyncio.to_thread(_segments, document_id, language, chunks)
    for part, segment in enumerate(segments):
        segment_id = await write_segment(session, tenant_id, knowledge_base_id, language, segment)
        row = KeywordDocument(
            tenant_id=tenant_id, document_id=document_id, part=part, revision=revision, segment_id=segment_id
        )
        session.add(row)
    await session.flush()


async def remove(session: WriteSession, document_ids: Sequence[UUID]) -> None:
    """What is deleted as a document leaves without this."""
    await session.execute(delete(KeywordDocument).where(KeywordDocument.document_id.in_(document_ids)))


async def missing(session: ReadSession, knowledge_base_id: UUID, limit: int) -> list[UUID]:
    """Documents that have chunks to be found, and are not in the index of words as they are now."""
    statement = (
        select(Document.id)
        .outerjoin(KeywordDocument, (KeywordDocument.document_id == Document.id) & (KeywordDocument.part == 0))
        .where(
            Document.knowledge_base_id == knowledge_base_id,
            Document.revision.is_not(None),
            Document.chunk_count > 0,
            KeywordDocument.revision.is_distinct_from(Document.revision),
        )
        .order_by(Document.id)
        .limit(limit)
    )
    return list(await session.scalars(statement))


def _segments(document_id: UUID, language: str, chunks: Sequence[KeywordChunk]) -> "list[Segment]":
    from shared.knowledge.keywords import segment  # noqa: PLC0415 - numpy, which most processes never need

    words = analyzer(language)

    def counted(some: Sequence[KeywordChunk]) -> "Iterator[segment.Counted]":
        for chunk in some:
            terms, length = words.count(chunk.text)
            yield segment.Counted(chunk.id, document_id, terms, length)

    most = segment.MOST_CHUNKS
    return [segment.build(list(counted(chunks[n : n + most]))) for n in range(0, len(chunks), most)]


async def write_segment(
    session: WriteSession, tenant_id: UUID, knowledge_base_id: UUID, language: str, made: "Segment"
) -> UUID:
    from shared.knowledge.keywords.segment import blocks  # noqa: PLC0415 - numpy

    segment_id = new_id()
    rows = list(blocks(made.postings))
    values = {
        "id": segment_id,
        "tenant_id": tenant_id,
        "knowledge_base_id": knowledge_base_id,
        "language": language,
        "chunk_count": len(made.chunks.ids),
        "firsts": b"\n".join(row.first for row in rows),
        **made.chunks.packed(),
    }
    await session.execute(insert(KeywordSegment).values(values))
    for start in range(0, len(rows), _BLOCKS_AT_ONCE):
        some = [
            {"tenant_id": tenant_id, "segment_id": segment_id, "number": start + n, "data": row.data}
            for n, row in enumerate(rows[start : start + _BLOCKS_AT_ONCE])
        ]
        await session.execute(insert(KeywordBlock), some)
    return segment_id
