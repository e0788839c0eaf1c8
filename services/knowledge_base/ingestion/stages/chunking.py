"""The stage that cuts a document's text into chunks."""

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import islice

from sqlalchemy import select

from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.ingestion import chunks as rows
from services.knowledge_base.ingestion import texts
from services.knowledge_base.ingestion.chunk import Chunk, ChunkPolicy, chunks
from services.knowledge_base.ingestion.stages.reading import whole_documents
from services.knowledge_base.ingestion.stages.work import GONE, Work
from services.knowledge_base.locks import Keep
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Document, KnowledgeBase
from shared.kit.json import Json, JsonObject

_AT_ONCE = 500


async def chunk(work: Work) -> Json:
    if not await work.report("chunk", 0, 1):
        return GONE
    async with whole_documents:
        async with work.context.database.read(work.scope) as session:
            extracted = await texts.get_text(session, work.owner)
            policy = await _policy(session, work)
            target = await indexes.get_active(session, work.owner.knowledge_base_id)
        if extracted is None or policy is None or target is None:
            return GONE
        embedder = await work.context.resources.embedders.of(work.scope, target.model_id)
        fitting = ChunkPolicy(min(policy.max_tokens, embedder.max_tokens), policy.overlap_tokens)
        return await _cut(work, chunks(extracted, fitting, embedder.count_tokens))


async def _cut(work: Work, made: Iterator[Chunk]) -> Json:
    """Nobody sees them before the revision is published, so they may come in several transactions."""
    count = tokens = 0

    async def start_anew(session: WriteSession) -> Json:
        await rows.delete_revision(session, work.owner)  # what a run that was killed has made, maybe by other settings
        return {}

    if await work.write(start_anew, Keep.INDEX) == GONE:
        return GONE
    while batch := await asyncio.to_thread(_take, made):
        if await work.write(partial(_add, work=work, batch=batch)) == GONE:
            return GONE
        count += len(batch)
        tokens += sum(one.tokens for one in batch)
    return {"chunks": count, "tokens": tokens}


def _take(made: Iterator[Chunk]) -> list[Chunk]:
    return list(islice(made, _AT_ONCE))


async def _add(session: WriteSession, work: Work, batch: list[Chunk]) -> Json:
    await rows.add_chunks(session, work.owner, batch)
    return {}


async def _policy(session: ReadSession, work: Work) -> ChunkPolicy | None:
    """The document's own settings go before those of its knowledge base."""
    statement = (
        select(KnowledgeBase.chunk_size, KnowledgeBase.chunk_overlap, Document.settings)
        .join(Document, Document.knowledge_base_id == KnowledgeBase.id)
        .where(Document.id == work.owner.document_id)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    own: JsonObject = row.settings or {}
    size: int = own.get("chunk_size") or row.chunk_size
    overlap: int | None = own.get("chunk_overlap")
    return ChunkPolicy(size, min(row.chunk_overlap if overlap is None else overlap, size // 2))
