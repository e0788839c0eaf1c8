from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response, status

from services.knowledge_base.documents import uploads
from services.knowledge_base.documents.errors import (
    DocumentBusy,
    DocumentDuplicate,
    DocumentNotFound,
    DocumentNotReplaceable,
    FilesRefused,
    FilesTooLarge,
    FilesUnsupported,
    NotMultipart,
    TooManyFiles,
    UploadMalformed,
)
from services.knowledge_base.documents.fields import UPLOAD_FIELDS
from services.knowledge_base.documents.multipart import Form, Upload
from services.knowledge_base.documents.schemas import DocumentOut, TextContent, UploadOut
from services.knowledge_base.limits.errors import KnowledgeLimitReached
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import IdempotencyMismatch
from shared.executions.submit import IdempotencyKey
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.dependencies import App, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["documents"])

Writer = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_WRITE))]

_FILE = {"type": "string", "format": "binary"}
_PASSWORD = {
    "type": "string",
    "format": "password",
    "description": "Opens files that are protected. It is kept sealed.",
}


def _body(required: str, **properties: Any) -> dict[str, Any]:
    """The body is read as it arrives, so FastAPI cannot derive this."""
    schema = {"type": "object", "required": [required], "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_UPLOAD_BODY = _body(
    "files",
    tags={"type": "array", "items": {"type": "string"}, "description": "Of all files; comes before them."},
    agent_ids={
        "type": "array",
        "items": {"type": "string", "format": "uuid"},
        "description": "The only agents that may find them; none: all. Comes before the files.",
    },
    password=_PASSWORD,
    files={"type": "array", "items": _FILE},
)
_CONTENT_BODY = _body("file", password=_PASSWORD, file=_FILE)


@router.post(
    "/knowledge-bases/{knowledge_base_id}/documents",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=_UPLOAD_BODY,
    responses=responses(
        NotAllowed,
        KnowledgeBaseNotFound,
        TooManyFiles,
        FilesTooLarge,
        KnowledgeLimitReached,
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
    """Office files, PDF, web pages, mail, books, text and archives of these. Each is taken or refused for itself; what
    is taken is processed by an execution of its own. An error is answered only when no file was taken. With an
    Idempotency-Key an upload that broke off can be sent again: the files that were taken are answered as they were."""
    max_bytes = await uploads.max_bytes_into(app, caller, knowledge_base_id)
    form = Upload(request, Form("files", UPLOAD_FIELDS, app.settings.upload_max_files, max_bytes))
    return await uploads.upload(app, caller, knowledge_base_id, form, idempotency_key)


@router.post(
    "/knowledge-bases/{knowledge_base_id}/text-content",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed, KnowledgeBaseNotFound, DocumentDuplicate, DocumentBusy, KnowledgeLimitReached, IdempotencyMismatch
    ),
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
    return await uploads.add_text(app, session, caller, knowledge_base_id, content, idempotency_key)


@router.put(
    "/documents/{document_id}/content",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=_CONTENT_BODY,
    responses={
        status.HTTP_200_OK: {"model": DocumentOut, "description": "It has this content already."},
        **responses(
            NotAllowed,
            DocumentNotFound,
            DocumentNotReplaceable,
            DocumentDuplicate,
            TooManyFiles,
            FilesTooLarge,
            KnowledgeLimitReached,
            NotMultipart,
            FilesUnsupported,
            FilesRefused,
            UploadMalformed,
        ),
    },
)
async def replace_content(
    document_id: UUID, request: Request, response: Response, app: App, caller: Writer
) -> DocumentOut:
    """A new version of the document: one file in the field `file`. What was there is found until the new version has
    been processed, and stays if that fails."""
    max_bytes = await uploads.max_bytes_in_place(app, caller, document_id)
    form = Upload(request, Form("file", frozenset({"password"}), 1, max_bytes))
    document, is_new = await uploads.replace(app, caller, document_id, form)
    if not is_new:
        response.status_code = status.HTTP_200_OK
    return document
