"""What the chunks would be: cut as an ingestion cuts, and thrown away."""

import asyncio
from itertools import islice
from uuid import UUID

from services.knowledge_base.documents.errors import DocumentNotFound, DocumentNotRead
from services.knowledge_base.ingestion.chunk import Chunk, ChunkPolicy, chunks
from services.knowledge_base.ingestion.extract.model import Extracted, ExtractionError
from services.knowledge_base.ingestion.extractor import Extractor
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.ingestion.texts import get_text
from services.knowledge_base.preview.errors import TextUnreadable
from services.knowledge_base.preview.schemas import ChunkPreview, ChunkPreviewRequest, PreviewedChunk
from shared.auth.principal import Principal
from shared.database.session import ReadSession
from shared.database.tables.knowledge import Document, KnowledgeBase, KnowledgeIndex
from shared.kit.json import JsonObject
from shared.knowledge.embedding import TextEmbedder
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.errors import ErrorDetail, Invalid
from shared.web.resources import Resources

_THROTTLE = "60/minute"
_extractor = Extractor()
# A document is in memory whole while it is cut, and cutting takes a core: one at a time in each process.
_cutting = asyncio.Semaphore(1)


async def preview(
    app: Resources, caller: Principal, knowledge_base_id: UUID, request: ChunkPreviewRequest
) -> ChunkPreview:
    await app.throttle.check(_THROTTLE, "chunk preview", str(caller.user_id))
    async with app.database.read(caller.scope) as session:
        base = await session.get(KnowledgeBase, knowledge_base_id)
        if base is None:
            raise KnowledgeBaseNotFound
        index = await session.get(KnowledgeIndex, base.index_id or base.id)
        document = await _document(session, base.id, request.document_id) if request.document_id else None
    embedder = await app.embedders.of(caller.scope, index.model_id if index else None)
    policy = _policy(base, document, request, embedder.max_tokens)
    async with _cutting:
        if document is None:
            extracted = await _read(request.text or "", request.format)
        else:
            extracted = await _stored(app, caller, document)
        made = await asyncio.to_thread(_cut, extracted, policy, embedder, request.limit + 1)
    return ChunkPreview(
        chunk_size=policy.max_tokens,
        chunk_overlap=policy.overlap_tokens,
        char_count=len(extracted.text),
        chunks=[PreviewedChunk.model_validate(chunk) for chunk in made[: request.limit]],
        has_more=len(made) > request.limit,
    )


def _policy(base: KnowledgeBase, document: Document | None, request: ChunkPreviewRequest, longest: int) -> ChunkPolicy:
    """What is asked for goes before the document's own settings, and those before the knowledge base's."""
    own: JsonObject = (document.settings if document else None) or {}
    size = min(request.chunk_size or own.get("chunk_size") or base.chunk_size, longest)
    if request.chunk_overlap is not None:
        if request.chunk_overlap > size // 2:
            message = f"must be at most half of chunk_size, which is {size}"
            raise Invalid(details=[ErrorDetail(field="chunk_overlap", message=message, code="chunk_overlap")])
        return ChunkPolicy(size, request.chunk_overlap)
    overlap: int | None = own.get("chunk_overlap")
    return ChunkPolicy(size, min(base.chunk_overlap if overlap is None else overlap, size // 2))


async def _document(session: ReadSession, knowledge_base_id: UUID, document_id: UUID) -> Document:
    document = await session.get(Document, document_id)
    if document is None or document.knowledge_base_id != knowledge_base_id:
        raise DocumentNotFound
    return document


async def _stored(app: Resources, caller: Principal, document: Document) -> Extracted:
    if document.revision is None:
        raise DocumentNotRead
    owner = Owner(
        tenant_id=caller.tenant_id,
        execution_id=document.execution_id or document.id,
        knowledge_base_id=document.knowledge_base_id,
        document_id=document.id,
        version=document.version,
        revision=document.revision,
    )
    async with app.database.read(caller.scope) as session:
        extracted = await get_text(session, owner)
    if extracted is None:
        raise DocumentNotRead
    return extracted


async def _read(text: str, format_: str) -> Extracted:
    """Like any other document in a process of its own: what comes from outside may be made to take for ever."""
    try:
        return await _extractor.extract(text.encode(), "preview.md" if format_ == "markdown" else "preview.txt")
    except ExtractionError as error:
        raise TextUnreadable(error.message) from None


def _cut(extracted: Extracted, policy: ChunkPolicy, embedder: TextEmbedder, limit: int) -> list[Chunk]:
    return list(islice(chunks(extracted, policy, embedder.count_tokens), limit))
