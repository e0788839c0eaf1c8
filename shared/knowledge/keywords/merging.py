"""Small segments become larger ones, so that a search looks into few however many documents there are.

Segments of like size are merged once there are eight of them: each chunk is written anew at most once for each of four
sizes. What is deleted leaves then, or when a quarter of a segment is void.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from shared.database.session import Database, Scope, WriteSession
from shared.database.tables.keywords import KeywordBlock, KeywordDeletion, KeywordDocument, KeywordSegment
from shared.database.tables.knowledge import KnowledgeBase
from shared.knowledge.keywords.store import write_segment

if TYPE_CHECKING:
    from shared.knowledge.keywords.segment import Segment

_FANOUT = 8
_SMALLEST = 64
_MOST_AT_ONCE = 64
_MOST_CHUNKS = 32_768  # as in segment.py, which this must not import
_VOID_SHARE = 0.25
# Of one call. More is left for the next.
_MOST_MERGES = 4

# Two merges of a knowledge base would do the same work; whoever comes second leaves it to the first.
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('keywords ' || CAST(:base AS text), 0))")


@dataclass(frozen=True, slots=True)
class Size:
    """`void` is how many of its documents are deleted."""

    id: UUID
    language: str
    chunks: int
    documents: int
    void: int


@dataclass(frozen=True, slots=True)
class _Read:
    chunks: tuple[bytes, bytes, bytes, bytes]
    blocks: Sequence[bytes]


async def merge(database: Database, scope: Scope, knowledge_base_id: UUID) -> int:
    """Merges what is due, in transactions of its own; how often it did. Safe beside everything else."""
    merged = 0
    while merged < _MOST_MERGES:
        async with database.write(scope) as session:
            if not await session.scalar(_TRY_LOCK, {"base": str(knowledge_base_id)}):
                break
            due = choose(await _sizes(session, knowledge_base_id))
            if not due or not await _merge(session, scope, knowledge_base_id, due):
                break
        merged += 1
    return merged


def choose(sizes: Sequence[Size]) -> list[Size]:
    """What to merge next: as many of like size as fit into one, or one alone that is void for a good part."""
    for size in sizes:
        if size.void > size.documents * _VOID_SHARE:
            return [size]
    for _, same in groupby(sorted(sizes, key=_kind), _kind):
        group = list(same)
        if len(group) >= _FANOUT and len(fitting := _fitting(group)) > 1:
            return fitting
    return []


def _kind(size: Size) -> tuple[str, int]:
    tier, bound = 0, _SMALLEST
    while size.chunks >= bound:
        tier, bound = tier + 1, bound * _FANOUT
    return size.language, tier


def _fitting(group: Sequence[Size]) -> list[Size]:
    chosen: list[Size] = []
    total = 0
    for size in sorted(group, key=attrgetter("chunks"))[:_MOST_AT_ONCE]:
        total += size.chunks
        if total > _MOST_CHUNKS:
            break
        chosen.append(size)
    return chosen


async def _sizes(session: WriteSession, knowledge_base_id: UUID) -> list[Size]:
    void = (
        select(func.count())
        .where(KeywordDeletion.segment_id == KeywordSegment.id)
        .correlate(KeywordSegment)
        .scalar_subquery()
    )
    statement = select(
        KeywordSegment.id,
        KeywordSegment.language,
        KeywordSegment.chunk_count,
        func.length(KeywordSegment.documents) // 16,
        void,
    ).where(KeywordSegment.knowledge_base_id == knowledge_base_id)
    return [Size(*row) for row in await session.execute(statement)]


async def _merge(session: WriteSession, scope: Scope, knowledge_base_id: UUID, due: Sequence[Size]) -> bool:
    assert scope.tenant_id is not None
    ids = [size.id for size in due]
    dead = await _dead(session, ids)
    read = [await _read(session, segment_id) for segment_id in ids]
    made = await asyncio.to_thread(_made, read, [dead.get(segment_id, []) for segment_id in ids])
    # Only now: nobody who deletes a document waits for more than the writing. The knowledge base first, as everywhere.
    base = select(KnowledgeBase.id).where(KnowledgeBase.id == knowledge_base_id)
    if await session.scalar(base.with_for_update(read=True, key_share=True)) is None:
        return False
    living = await _hold(session, ids)
    if living is None:
        return False
    if made is not None and living:
        segment, documents = made
        new = await write_segment(session, scope.tenant_id, knowledge_base_id, due[0].language, segment)
        moved = update(KeywordDocument).where(KeywordDocument.segment_id.in_(ids)).values(segment_id=new)
        await session.execute(moved)
        late = [
            {"tenant_id": scope.tenant_id, "segment_id": new, "document_id": document}
            for document in documents - living
        ]
        if late:
            await session.execute(insert(KeywordDeletion), late)
    await session.execute(delete(KeywordSegment).where(KeywordSegment.id.in_(ids)))
    return True


async def _hold(session: WriteSession, ids: Sequence[UUID]) -> set[UUID] | None:
    """Locks the rows of the documents that are there. None if somebody else has one: to wait for each other would be
    to wait for ever."""
    mine = KeywordDocument.segment_id.in_(ids)
    count = await session.scalar(select(func.count()).where(mine))
    rows = (
        await session.scalars(select(KeywordDocument.document_id).where(mine).with_for_update(skip_locked=True))
    ).all()
    return set(rows) if len(rows) == count else None


async def _dead(session: WriteSession, ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    found: dict[UUID, list[UUID]] = {}
    statement = select(KeywordDeletion.segment_id, KeywordDeletion.document_id)
    for segment_id, document_id in await session.execute(statement.where(KeywordDeletion.segment_id.in_(ids))):
        found.setdefault(segment_id, []).append(document_id)
    return found


async def _read(session: WriteSession, segment_id: UUID) -> _Read | None:
    """None: the last of its documents went meanwhile, and it with them."""
    packed = select(
        KeywordSegment.chunk_ids, KeywordSegment.lengths, KeywordSegment.documents, KeywordSegment.chunk_documents
    ).where(KeywordSegment.id == segment_id)
    blocks = select(KeywordBlock.data).where(KeywordBlock.segment_id == segment_id).order_by(KeywordBlock.number)
    chunks = (await session.execute(packed)).one_or_none()
    data = (await session.scalars(blocks)).all()
    return None if chunks is None or not data else _Read((chunks[0], chunks[1], chunks[2], chunks[3]), data)


def _made(read: Sequence[_Read | None], dead: Sequence[Sequence[UUID]]) -> "tuple[Segment, set[UUID]] | None":
    """One segment of all, and the documents in it."""
    from shared.knowledge.keywords import segment  # noqa: PLC0415 - numpy, which most processes never need

    parts = [
        (segment.Segment(segment.Chunks.unpacked(*one.chunks), segment.read_blocks(one.blocks)), segment.pack_ids(gone))
        for one, gone in zip(read, dead, strict=True)
        if one is not None
    ]
    merged = segment.merge([part for part, _ in parts], [gone for _, gone in parts]) if parts else None
    if merged is None:
        return None
    return merged, {segment.unpack_id(document) for document in merged.chunks.documents.tolist()}
