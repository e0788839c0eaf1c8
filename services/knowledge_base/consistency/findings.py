"""What can be wrong with a knowledge base, as far as Postgres alone can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from services.knowledge_base.documents.schemas import OPEN_STATUSES
from shared.database.session import ReadSession
from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document
from shared.database.tables.ledger import ExecutionRow
from shared.knowledge import keywords
from shared.workflow.states import ExecutionStatus

_ENDED = tuple(status.value for status in ExecutionStatus if status.ended)
_AT_MOST = 10_000


class Finding(StrEnum):
    STUCK = "documents_stuck"  # to be processed, by nobody
    DUPLICATE = "documents_with_chunks_twice"
    LEFTOVER = "chunks_left_over"  # of processings that are over
    WITHOUT_VECTOR = "chunks_without_vector"
    NOT_INDEXED = "vectors_missing"  # in Chroma
    ORPHANED = "vectors_orphaned"  # in Chroma
    WITHOUT_WORDS = "documents_without_words"  # in the index of words, or there as they were


@dataclass(frozen=True, slots=True)
class FoundChunk:
    chunk_id: UUID
    has_vector: bool


def _is_found() -> ColumnElement[bool]:
    return and_(Document.id == Chunk.document_id, Document.revision == Chunk.revision)


def _nobody_works_on_it() -> ColumnElement[bool]:
    return or_(ExecutionRow.id.is_(None), ExecutionRow.status.in_(_ENDED))


async def stuck_documents(session: ReadSession, knowledge_base_id: UUID) -> list[UUID]:
    statement = (
        select(Document.id)
        .outerjoin(ExecutionRow, ExecutionRow.id == Document.execution_id)
        .where(
            Document.knowledge_base_id == knowledge_base_id, Document.status.in_(OPEN_STATUSES), _nobody_works_on_it()
        )
    )
    return list(await session.scalars(statement.limit(_AT_MOST)))


async def duplicate_chunks(session: ReadSession, knowledge_base_id: UUID) -> list[UUID]:
    """Documents with the same passage more than once. Table parts begin where they begin, so no two are alike."""
    twice = (
        select(Chunk.document_id)
        .join(Document, _is_found())
        .where(Chunk.knowledge_base_id == knowledge_base_id)
        .group_by(Chunk.document_id, Chunk.start, Chunk.end)
        .having(func.count() > 1)
    )
    return list(await session.scalars(select(twice.subquery().c.document_id).distinct().limit(_AT_MOST)))


async def leftover_revisions(session: ReadSession, knowledge_base_id: UUID) -> dict[UUID, int]:
    """By document the chunks that are not found and never will be. What a processing that failed has made is kept,
    because the next one may use it."""
    failed = and_(Document.status == "failed", Chunk.revision == Document.last_revision)
    statement = (
        select(Chunk.document_id, func.count())
        .join(Document, Document.id == Chunk.document_id)
        .outerjoin(ExecutionRow, ExecutionRow.id == Document.execution_id)
        .where(
            Chunk.knowledge_base_id == knowledge_base_id,
            Document.revision.is_distinct_from(Chunk.revision),
            _nobody_works_on_it(),
            ~failed,
        )
        .group_by(Chunk.document_id)
    )
    rows = await session.execute(statement.limit(_AT_MOST))
    return {row[0]: row[1] for row in rows}


async def found_chunks(
    session: ReadSession, knowledge_base_id: UUID, index_id: UUID, after: UUID | None, limit: int
) -> list[FoundChunk]:
    vector = exists().where(ChunkEmbedding.chunk_id == Chunk.id, ChunkEmbedding.index_id == index_id)
    statement = (
        select(Chunk.id, vector)
        .join(Document, _is_found())
        .where(Chunk.knowledge_base_id == knowledge_base_id)
        .order_by(Chunk.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(Chunk.id > after)
    return [FoundChunk(chunk_id, has_vector) for chunk_id, has_vector in await session.execute(statement)]


async def still_found(session: ReadSession, chunk_ids: Sequence[UUID]) -> set[UUID]:
    statement = select(Chunk.id).join(Document, _is_found()).where(Chunk.id.in_(chunk_ids))
    return set(await session.scalars(statement))


async def without_words(session: ReadSession, knowledge_base_id: UUID) -> list[UUID]:
    return await keywords.missing(session, knowledge_base_id, _AT_MOST)
