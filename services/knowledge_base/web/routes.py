from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from services.knowledge_base.documents.errors import DocumentBusy, DocumentNotFound
from services.knowledge_base.documents.schemas import UploadOut
from services.knowledge_base.limits.errors import KnowledgeLimitReached
from services.knowledge_base.web import service
from services.knowledge_base.web.errors import UrlsRefused
from services.knowledge_base.web.schemas import UrlContent
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import IdempotencyMismatch
from shared.executions.submit import IdempotencyKey
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.dependencies import App, requires
from shared.web.errors import responses

router = APIRouter(tags=["documents"])

Writer = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_WRITE))]


@router.post(
    "/knowledge-bases/{knowledge_base_id}/url-content",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed,
        KnowledgeBaseNotFound,
        UrlsRefused,
        KnowledgeLimitReached,
        DocumentBusy,
        DocumentNotFound,
        IdempotencyMismatch,
    ),
)
async def add_url_content(
    knowledge_base_id: UUID, content: UrlContent, app: App, caller: Writer, idempotency_key: IdempotencyKey = None
) -> UploadOut:
    """Documents from pages and files in the web. Each address is taken or refused for itself; what is taken is fetched
    and processed by an execution of its own, which heeds the site's robots.txt. A page that is there already is not
    taken twice. An error is answered only when no address was taken."""
    return await service.add_pages(app, caller, knowledge_base_id, content, idempotency_key)
