from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from services.knowledge_base.documents.errors import DocumentNotFound, DocumentNotRead
from services.knowledge_base.preview import service
from services.knowledge_base.preview.errors import TextUnreadable
from services.knowledge_base.preview.schemas import ChunkPreview, ChunkPreviewRequest
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.knowledge.errors import EmbeddingModelGone, EmbeddingModelMissing, KnowledgeBaseNotFound
from shared.web.dependencies import App, requires
from shared.web.errors import responses
from shared.web.throttle import TooManyRequests

router = APIRouter(prefix="/knowledge-bases", tags=["knowledge bases"])

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]


@router.post(
    "/{knowledge_base_id}/chunk-preview",
    responses=responses(
        NotAllowed,
        KnowledgeBaseNotFound,
        DocumentNotFound,
        DocumentNotRead,
        TextUnreadable,
        EmbeddingModelGone,
        EmbeddingModelMissing,
        TooManyRequests,
    ),
)
async def preview_chunks(
    knowledge_base_id: UUID, request: ChunkPreviewRequest, app: App, caller: Reader
) -> ChunkPreview:
    """The chunks as they would be with these settings. Nothing is stored."""
    return await service.preview(app, caller, knowledge_base_id, request)
