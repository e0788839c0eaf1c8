"""Finding passages: nearest vectors in Chroma, their text in Postgres under the tenant's own session.

Postgres has the last word: a vector whose chunk is gone, or whose document is not ready, is no result.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy import select

from shared.database.session import Database, ReadSession, Scope
from shared.database.tables.knowledge import Chunk, Document, KnowledgeBase
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.knowledge.index import Hit, VectorIndex

READY = "ready"

# Asked for beyond what is wanted, because some vectors may belong to chunks that are gone.
_SPARE = 10
_WIDER = 4
_WIDEST = 500


class QueryEmbedder(Protocol):
    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]: ...


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """`start` and `end` count characters of the document's extracted text; `score` is 0 to 1."""

    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    chunk_id: UUID
    text: str
    score: float
    page: int | None
    start: int
    end: int
    headings: list[str]


class KnowledgeSearch:
    def __init__(self, database: Database, vectors: VectorIndex, embedder: QueryEmbedder) -> None:
        self._database = database
        self._vectors = vectors
        self._embedder = embedder

    async def search(
        self, scope: Scope, knowledge_base_ids: Sequence[UUID], query: str, top_k: int
    ) -> list[FoundPassage]:
        """The best passages of all these knowledge bases together, best first.

        Raises `KnowledgeBaseNotFound` if one of them is not the tenant's, `VectorStoreUnavailable`.
        """
        wanted = list(dict.fromkeys(knowledge_base_ids))
        async with self._database.read(scope) as session:
            await require_knowledge_bases(session, wanted)
        [vector] = await self._embedder.embed([query])
        limit = top_k + _SPARE
        while True:
            hits, exhausted = await self._nearest(wanted, vector, limit)
            async with self._database.read(scope) as session:
                passages = await _passages(session, wanted, hits)
            if len(passages) >= top_k or exhausted or limit >= _WIDEST:
                return passages[:top_k]
            limit = min(limit * _WIDER, _WIDEST)

    async def _nearest(
        self, knowledge_base_ids: Sequence[UUID], vector: Sequence[float], limit: int
    ) -> tuple[list[Hit], bool]:
        found = await asyncio.gather(*(self._vectors.search(one, vector, limit) for one in knowledge_base_ids))
        hits = sorted((hit for hits in found for hit in hits), key=lambda hit: (-hit.score, hit.chunk_id))
        return hits[:limit], all(len(hits) < limit for hits in found)


async def require_knowledge_bases(session: ReadSession, knowledge_base_ids: Sequence[UUID]) -> None:
    statement = select(KnowledgeBase.id).where(KnowledgeBase.id.in_(knowledge_base_ids))
    if len((await session.scalars(statement)).all()) != len(set(knowledge_base_ids)):
        raise KnowledgeBaseNotFound


async def _passages(
    session: ReadSession, knowledge_base_ids: Sequence[UUID], hits: Sequence[Hit]
) -> list[FoundPassage]:
    statement = (
        select(
            Chunk.id,
            Chunk.knowledge_base_id,
            Chunk.document_id,
            Document.name,
            Chunk.text,
            Chunk.page,
            Chunk.start,
            Chunk.end,
            Chunk.headings,
        )
        .join(Document, Document.id == Chunk.document_id)
        .where(
            Chunk.id.in_([hit.chunk_id for hit in hits]),
            Chunk.knowledge_base_id.in_(knowledge_base_ids),
            Document.status == READY,
        )
    )
    rows = {row.id: row for row in await session.execute(statement)}
    return [
        FoundPassage(
            knowledge_base_id=row.knowledge_base_id,
            document_id=row.document_id,
            document_name=row.name,
            chunk_id=row.id,
            text=row.text,
            score=hit.score,
            page=row.page,
            start=row.start,
            end=row.end,
            headings=row.headings,
        )
        for hit in hits
        if (row := rows.get(hit.chunk_id))
    ]
