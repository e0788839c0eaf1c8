"""The chunks nearest to a question: from Chroma, or exactly, by all their vectors in Postgres."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from shared.database.session import Database, ReadSession, Scope
from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document
from shared.knowledge.allowed import Allowed, condition
from shared.knowledge.index import VectorIndex
from shared.knowledge.request import SearchFilters

# So many are compared in Postgres sooner than Chroma is asked for what it cannot filter quickly.
_FEW = 3_000
_WIDEST = 1_000
_SPARE = 10
# More than the share of what may be found, because what is near is not spread evenly.
_MARGIN = 1.5
_AT_ONCE = 4_000

_ID = 16

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
                found = await _compare(session, asked, Chunk.document_id.in_(documents))
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
        found |= dict(await _compare(session, one, Chunk.id.in_(chunk_ids)))
    return found


async def _compare(session: ReadSession, asked: Asked, which: ColumnElement[bool]) -> Hits:
    """All in one row: many rows take longer to receive than to compare."""
    ids = func.string_agg(func.uuid_send(Chunk.id), aggregate_order_by(literal(b""), Chunk.id))
    vectors = func.string_agg(ChunkEmbedding.vector, aggregate_order_by(literal(b""), Chunk.id))
    statement = (
        select(ids, vectors)
        .join(ChunkEmbedding, ChunkEmbedding.chunk_id == Chunk.id)
        .join(Document, and_(Document.id == Chunk.document_id, Document.revision == Chunk.revision))
        .where(
            which,
            ChunkEmbedding.index_id == asked.index_id,
            # Of another model, which can only be a mistake: not worth a failure.
            func.length(ChunkEmbedding.vector) == 4 * len(asked.vector),
        )
    )
    packed, matrix = (await session.execute(statement)).one()
    return await asyncio.to_thread(_similarities, packed, matrix, asked.vector) if packed else []


def _similarities(packed: bytes, matrix: bytes, vector: Sequence[float]) -> Hits:
    import numpy as np  # noqa: PLC0415 - few processes need it

    rows = np.frombuffer(matrix, "<f4").reshape(-1, len(vector))
    found = np.clip(rows @ np.array(vector, np.float32), 0, 1).tolist()
    return [(UUID(bytes=packed[_ID * n : _ID * (n + 1)]), cosine) for n, cosine in enumerate(found)]
