"""Mends what a check has found, out of Postgres: only what has no vector there is embedded again."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sqlalchemy import delete

from services.knowledge_base.documents import processing
from services.knowledge_base.documents import repository as documents
from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.indexes import vectors, words
from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.ingestion.chunks import get_records, get_texts
from services.knowledge_base.ingestion.stages.work import patiently
from services.knowledge_base.locks import Keep
from shared.database.session import Scope
from shared.database.tables.knowledge import Chunk, DocumentText
from shared.executions.jobs import JobContext
from shared.knowledge.embedding import pack
from shared.knowledge.index import VectorRecord

_AT_ONCE = 64


async def process_again(context: JobContext, document_ids: Sequence[UUID]) -> int:
    for document_id in document_ids:
        async with context.database.write(Scope(context.tenant_id)) as session:
            document = await documents.lock_document(session, document_id)
            if document is not None:
                ring = context.resources.doorbell.ring
                await processing.begin(session, document, ring, created_by=document.created_by)
    return len(document_ids)


async def remove_leftovers(context: JobContext, document_ids: Sequence[UUID]) -> int:
    removed = 0
    for document_id in document_ids:
        async with context.database.write(Scope(context.tenant_id)) as session:
            document = await documents.lock_document(session, document_id, Keep.INDEX)
            if document is None or document.status not in ("ready", "failed"):  # begun again meanwhile
                continue
            kept = [document.revision] if document.status == "ready" else [document.revision, document.last_revision]
            stay = [revision for revision in kept if revision is not None]
            gone = await session.scalars(
                delete(Chunk).where(Chunk.document_id == document_id, Chunk.revision.not_in(stay)).returning(Chunk.id)
            )
            removed += len(gone.all())
            await session.execute(
                delete(DocumentText).where(DocumentText.document_id == document_id, DocumentText.revision.not_in(stay))
            )
    return removed


async def embed(context: JobContext, knowledge_base_id: UUID, target: Target, chunk_ids: Sequence[UUID]) -> int:
    scope = Scope(context.tenant_id)
    for start in range(0, len(chunk_ids), _AT_ONCE):
        async with context.database.read(scope) as session:
            texts = await get_texts(session, chunk_ids[start : start + _AT_ONCE])
        made = await context.embed(target.model_id, [one.text for one in texts])
        packed = {one.chunk_id: pack(vector) for one, vector in zip(texts, made, strict=True)}
        async with context.database.write(scope) as session:
            held = {one.document_id for one in texts}
            if not await indexes.hold(session, knowledge_base_id, target.index_id, held):
                return start
            await vectors.put(session, context.tenant_id, target.index_id, packed)
        records = [VectorRecord(one.chunk_id, one.document_id, packed[one.chunk_id]) for one in texts]
        await _upsert(context, target, records)
    return len(chunk_ids)


async def put(context: JobContext, target: Target, chunk_ids: Sequence[UUID]) -> int:
    if not chunk_ids:
        return 0
    async with context.database.read(Scope(context.tenant_id)) as session:
        records = await get_records(session, target.index_id, chunk_ids)
    await _upsert(context, target, records)
    return len(records)


async def _upsert(context: JobContext, target: Target, records: Sequence[VectorRecord]) -> None:
    async with context.database.read(Scope(context.tenant_id)) as session:
        if not await indexes.exists(session, target.index_id):
            return
    await patiently(context, partial(context.resources.vectors.upsert, target.index_id, records))


async def put_words(context: JobContext, knowledge_base_id: UUID, document_ids: Sequence[UUID]) -> int:
    for document_id in document_ids:
        async with context.database.write(Scope(context.tenant_id)) as session:
            document = await documents.lock_document(session, document_id)
            if document is not None and document.revision is not None:
                await words.put_words(session, context.tenant_id, knowledge_base_id, document_id, document.revision)
    return len(document_ids)
