"""The chunks nearest to a question: from Chroma, or exactly, by all their vectors in Postgres."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, and_, func, select

from shared.database.session import Database, ReadSession, Scope
from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document
from shared.knowledge.allowed import Allowed, among, condition
from shared.knowledge.index import VectorIndex
from shared.knowledge.request import SearchFilters

# So many are compared in Postgres sooner than Chroma is asked for what it cannot filter quickly.
_FEW = 3_000
_WIDEST = 1_000
_SPARE = 10
# More than the share of what may be found, because what is near is not spread evenly.
_MARGIN = 1.5
_AT_ONCE = 4_000

# More is compared in a thread.
_MUCH_BYTES = 500_000

Hits = list[tuple[UUID, float]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as a vector of one index."""

    knowledge_base_id: UUID
    index_id: UUID
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class Nearest:
    database: Database
    vectors: VectorIndex
    scope: Scope
    filters: SearchFilters
    allowed: Allowed | None

    async def of(self, asked: Asked, limit: int) -> tuple[Hits, bool]:
        """With their cosine similarity, best first, and whether there are no more. Some may be gone or forbidden: who
        reads the texts sees that."""
        if self.allowed is not None and self.allowed.chunks <= _FEW:
            return await self._exactly(asked, limit)
        wanted = limit + _SPARE if self.allowed is None else int(limit / self.allowed.share * _MARGIN)
        if wanted > _WIDEST:
            return await self._exactly(asked, limit)
        hits = await self.vectors.search(asked.index_id, asked.vector, wanted)
        return [(hit.chunk_id, hit.score) for hit in hits], len(hits) < wanted

    async def _exactly(self, asked: Asked, limit: int) -> tuple[Hits, bool]:
        """In portions: memory stays bounded whatever there is."""
        best: Hits = []
        seen = 0
        async with self.database.read(self.scope) as session:
            for documents in await self._portions(session, asked):
                found = await _compare(session, asked, among(Chunk.document_id, documents))
                seen += len(found)
                best = sorted(best + found, key=lambda hit: (-hit[1], hit[0]))[:limit]
        return best, seen <= limit

    async def _portions(self, session: ReadSession, asked: Asked) -> list[list[UUID]]:
        statement = (
            select(Document.id, func.coalesce(Document.chunk_count, 1))
            .where(condition([asked.knowledge_base_id], self.filters))
            .order_by(Document.id)
        )
        portions: list[list[UUID]] = []
        left = 0
        for document_id, chunks in await session.execute(statement):
            if chunks > left:
                portions.append([])
                left = _AT_ONCE
            portions[-1].append(document_id)
            left -= chunks
        return portions


async def cosines(session: ReadSession, asked: Sequence[Asked], chunk_ids: Sequence[UUID]) -> dict[UUID, float]:
    """Of chunks that were found otherwise. Those without a vector are left out."""
    found: dict[UUID, float] = {}
    for one in asked if chunk_ids else ():
        found |= dict(await _compare(session, one, among(Chunk.id, chunk_ids)))
    return found


async def _compare(session: ReadSession, asked: Asked, which: ColumnElement[bool]) -> Hits:
    """All in one row: many rows take longer to receive than to compare."""
    packed = func.string_agg(func.uuid_send(Chunk.id).op("||", return_type=LargeBinary())(ChunkEmbedding.vector), b"")
    statement = (
        select(packed)
        .select_from(Chunk)
        .join(ChunkEmbedding, ChunkEmbedding.chunk_id == Chunk.id)
        .join(Document, and_(Document.id == Chunk.document_id, Document.revision == Chunk.revision))
        .where(
            which,
            ChunkEmbedding.index_id == asked.index_id,
            # Of another model, which can only be a mistake: not worth a failure.
            func.length(ChunkEmbedding.vector) == 4 * len(asked.vector),
        )
    )
    found = await session.scalar(statement)
    if not found:
        return []
    if len(found) > _MUCH_BYTES:
        return await asyncio.to_thread(_similarities, found, asked.vector)
    return _similarities(found, asked.vector)


def _similarities(packed: bytes, vector: Sequence[float]) -> Hits:
    import numpy as np  # noqa: PLC0415 - few processes need it

    rows = np.frombuffer(packed, [("id", "V16"), ("vector", "<f4", len(vector))])
    found = np.clip(rows["vector"] @ np.array(vector, np.float32), 0, 1).tolist()
    return [(UUID(bytes=one), cosine) for one, cosine in zip(rows["id"].tolist(), found, strict=True)]
