from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, status

from services.knowledge_base.documents import service
from services.knowledge_base.documents.errors import (
    DocumentBusy,
    DocumentDuplicate,
    DocumentNotFound,
    FilesRefused,
    FilesTooLarge,
    FilesUnsupported,
    NotMultipart,
    TooManyFiles,
    UploadMalformed,
)
from services.knowledge_base.documents.multipart import FIELD, receive_files
from services.knowledge_base.documents.schemas import DocumentOut, DocumentStatus, TextContent, UploadOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import IdempotencyMismatch
from shared.executions.submit import IdempotencyKey
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(tags=["documents"])

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_WRITE))]
NamePart = Annotated[str | None, Query(alias="q", max_length=200, description="A part of the name.")]

# The body is read as it arrives, so FastAPI cannot derive this.
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}},
                    "additionalProperties": False,
                }
            }
        },
    }
}


@router.get("/knowledge-bases/{knowledge_base_id}/documents", responses=responses(NotAllowed, KnowledgeBaseNotFound))
async def list_documents(
    knowledge_base_id: UUID,
    session: ReadDb,
    caller: Reader,
    status: DocumentStatus | None = None,
    q: NamePart = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DocumentOut]:
    """The documents of a knowledge base, newest first."""
    return await service.list_documents(session, knowledge_base_id, status=status, name=q, limit=limit, cursor=cursor)


@router.post(
    "/knowledge-bases/{knowledge_base_id}/documents",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=_UPLOAD_BODY,
    responses=responses(
        NotAllowed,
        KnowledgeBaseNotFound,
        TooManyFiles,
        FilesTooLarge,
        NotMultipart,
        FilesUnsupported,
        FilesRefused,
        UploadMalformed,
        IdempotencyMismatch,
    ),
)
async def upload_documents(
    knowledge_base_id: UUID, request: Request, app: App, caller: Writer, idempotency_key: IdempotencyKey = None
) -> UploadOut:
    """Text, Markdown, PDF and Word (.docx) files. Each is taken or refused for itself; what is taken is processed
    by an execution of its own. An error is answered only when no file was taken. With an Idempotency-Key an upload
    that broke off can be sent again: the files that were taken are answered as they were."""
    await service.require_knowledge_base(app, caller, knowledge_base_id)
    settings = app.settings
    files = receive_files(request, max_files=settings.upload_max_files, max_bytes=settings.upload_max_bytes)
    return await service.upload(app, caller, knowledge_base_id, files, idempotency_key)


@router.post(
    "/knowledge-bases/{knowledge_base_id}/text-content",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, KnowledgeBaseNotFound, DocumentDuplicate, DocumentBusy, IdempotencyMismatch),
)
async def add_text_content(
    knowledge_base_id: UUID,
    content: TextContent,
    session: WriteDb,
    app: App,
    caller: Writer,
    idempotency_key: IdempotencyKey = None,
) -> DocumentOut:
    """A document from text that is at hand, processed by an execution."""
    return await service.add_text(session, caller, knowledge_base_id, content, app.doorbell.ring, idempotency_key)


@router.get("/documents/{document_id}", responses=responses(NotAllowed, DocumentNotFound))
async def get_document(document_id: UUID, session: ReadDb, caller: Reader) -> DocumentOut:
    return await service.get_document(session, document_id)


@router.delete(
    "/documents/{document_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, DocumentNotFound),
)
async def delete_document(document_id: UUID, session: WriteDb, app: App, caller: Writer) -> None:
    """It is found no more from this moment on; its vectors are removed by an execution."""
    await service.delete_document(session, caller, document_id, app.doorbell.ring)


@router.post(
    "/documents/{document_id}/reprocess",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, DocumentNotFound, DocumentBusy, IdempotencyMismatch),
)
async def reprocess_document(
    document_id: UUID, session: WriteDb, app: App, caller: Writer, idempotency_key: IdempotencyKey = None
) -> DocumentOut:
    """Processes the stored file again, as the knowledge base is set up now."""
    return await service.reprocess(session, caller, document_id, app.doorbell.ring, idempotency_key)
