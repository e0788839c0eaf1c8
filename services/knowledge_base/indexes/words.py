"""A document's chunks in the index of words."""

from uuid import UUID

from sqlalchemy import select

from services.knowledge_base.ingestion.embedded import as_embedded
from shared.database.session import WriteSession
from shared.database.tables.knowledge import Chunk, KnowledgeBase
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
