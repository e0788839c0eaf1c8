"""A document's chunks in the index of words."""

from uuid import UUID

from sqlalchemy import ColumnElement, func, select

from services.knowledge_base import locks
from services.knowledge_base.ingestion.embedded import as_embedded
from shared.database.session import Scope, WriteSession
from shared.database.tables.knowledge import Chunk, Document, KnowledgeBase
from shared.executions.jobs import JobContext
from shared.kit.json import Json
from shared.knowledge import keywords
from shared.knowledge.keywords import KeywordChunk


async def put_words(
    session: WriteSession, tenant_id: UUID, knowledge_base_id: UUID, document_id: UUID, revision: int
) -> None:
    """Those of this revision in place of what there was, in the language of the knowledge base."""
    language = await session.scalar(select(KnowledgeBase.language).where(KnowledgeBase.id == knowledge_base_id))
    statement = (
        select(Chunk.id, Chunk.headings, Chunk.table_header, Chunk.text)
        .where(Chunk.document_id == document_id, Chunk.revision == revision)
        .order_by(Chunk.ordinal)
    )
    await keywords.add(
        session,
        tenant_id=tenant_id,
        knowledge_base_id=knowledge_base_id,
        document_id=document_id,
        revision=revision,
        language=language or "none",
        chunks=[
            KeywordChunk(row.id, as_embedded(row.headings, row.table_header, row.text))
            for row in await session.execute(statement)
        ],
    )


async def index_words(context: JobContext) -> Json:
    """The job: every document of the knowledge base is put into the index of words again, in its language as it is
    now. What is found by its words meanwhile is found by the old ones."""
    return await context.step("words", lambda: _index_all(context, UUID(context.spec["knowledge_base_id"])))


async def _index_all(context: JobContext, knowledge_base_id: UUID) -> Json:
    scope = Scope(context.tenant_id)
    async with context.database.read(scope) as session:
        total = await session.scalar(select(func.count()).select_from(Document).where(*_found(knowledge_base_id))) or 0
    done, last = 0, UUID(int=0)
    while True:
        context.progress("words", done, total)
        async with context.database.write(scope) as session:
            if not await locks.hold_base(session, knowledge_base_id):
                break
            following = select(Document.id, Document.revision).where(*_found(knowledge_base_id), Document.id > last)
            row = (await session.execute(following.order_by(Document.id).limit(1).with_for_update())).one_or_none()
            if row is None:
                break
            await put_words(session, context.tenant_id, knowledge_base_id, row.id, row.revision)
        last = row.id
        done += 1
        await keywords.merge(context.database, scope, knowledge_base_id)
    return {"documents": done}


def _found(knowledge_base_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return Document.knowledge_base_id == knowledge_base_id, Document.revision.is_not(None)
