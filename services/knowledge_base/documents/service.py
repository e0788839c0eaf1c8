"""Documents of a knowledge base: taken in at once, processed by an execution each."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from uuid import UUID

from services.knowledge_base import purges
from services.knowledge_base.documents import repository
from services.knowledge_base.documents.errors import (
    DocumentBusy,
    DocumentDuplicate,
    DocumentNotFound,
    FilesRefused,
    FilesTooLarge,
    FilesUnsupported,
)
from services.knowledge_base.documents.multipart import ReceivedFile
from services.knowledge_base.documents.repository import DocumentView
from services.knowledge_base.documents.schemas import (
    DocumentError,
    DocumentOut,
    DocumentProgress,
    DocumentStatus,
    TextContent,
    UploadOut,
    UploadResult,
    UploadStatus,
)
from services.knowledge_base.ingestion.extract.model import DocumentFormat, ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extract.sniff import check_head
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.executions.submit import Ring, Submission, find_submitted, submit
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.context import correlation_id
from shared.web.errors import AppError, ErrorDetail
from shared.web.pagination import Page, decode_cursor, page
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind, Lane

_HEAD = 2048
_UNKNOWN = "application/octet-stream"  # until it is read
# A stored file is in memory once while it is written: few at a time, however many upload.
_storing = asyncio.Semaphore(2)


async def list_documents(
    session: ReadSession,
    knowledge_base_id: UUID,
    *,
    status: DocumentStatus | None,
    name: str | None,
    limit: int,
    cursor: str | None,
) -> Page[DocumentOut]:
    if not await repository.knowledge_base_exists(session, knowledge_base_id):
        raise KnowledgeBaseNotFound
    before = decode_cursor(cursor, UUID)[0] if cursor else None
    rows = await repository.list_documents(
        session, knowledge_base_id, status=status, name=name, before=before, limit=limit + 1
    )
    return page(rows, limit, out, lambda view: (view.document.id,))


async def get_document(session: ReadSession, document_id: UUID) -> DocumentOut:
    return out(await _require(session, document_id))


async def upload(
    app: Resources, caller: Principal, knowledge_base_id: UUID, files: AsyncIterator[ReceivedFile], key: str | None
) -> UploadOut:
    """Takes the files one by one, each in a transaction of its own: a bad one does not stop the others."""
    results: list[UploadResult] = []
    async for file in files:
        # No header has a line break, so the key of a file is never one that a caller gave.
        file_key = None if key is None else f"{key}\n{len(results)}"
        try:
            results.append(await _take(app, caller, knowledge_base_id, file, file_key))
        finally:
            file.close()
    if all(result.status is UploadStatus.REFUSED for result in results):
        raise _all_refused(results)
    return UploadOut(items=results)


async def require_knowledge_base(app: Resources, caller: Principal, knowledge_base_id: UUID) -> None:
    """Before an upload's first byte is read."""
    async with app.database.read(caller.scope) as session:
        if not await repository.knowledge_base_exists(session, knowledge_base_id):
            raise KnowledgeBaseNotFound


async def add_text(
    session: WriteSession, caller: Principal, knowledge_base_id: UUID, content: TextContent, ring: Ring, key: str | None
) -> DocumentOut:
    request: JsonObject = {"knowledge_base_id": str(knowledge_base_id), **content.model_dump()}
    data = content.text.encode()
    content_hash = hashlib.sha256(data).hexdigest()
    if await find_submitted(session, key, ExecutionKind.INGESTION, request) is not None:
        return out(await _require_content(session, knowledge_base_id, content_hash))
    kind = DocumentFormat.MARKDOWN if content.format == "markdown" else DocumentFormat.TEXT
    values = _values(caller, knowledge_base_id, content.name, kind.media_type, data, content_hash)
    view, is_new = await _store(session, caller, values, data, ring, key=key, request=request)
    if not is_new:
        raise DocumentDuplicate(f"The knowledge base holds this content already, as {view.document.name!r}.")
    return out(view)


async def delete_document(session: WriteSession, caller: Principal, document_id: UUID, ring: Ring) -> None:
    document = await repository.lock_document(session, document_id)
    if document is None:
        raise DocumentNotFound
    await repository.delete_document(session, document_id)
    await purges.request(
        session,
        caller,
        ring,
        knowledge_base_id=document.knowledge_base_id,
        document_id=document_id,
        name=document.name,
    )


async def reprocess(
    session: WriteSession, caller: Principal, document_id: UUID, ring: Ring, key: str | None
) -> DocumentOut:
    document = await repository.lock_document(session, document_id)
    if document is None:
        raise DocumentNotFound
    request: JsonObject = {"reprocess": str(document_id)}
    if await find_submitted(session, key, ExecutionKind.INGESTION, request) is None:
        if (await _require(session, document_id)).status in (DocumentStatus.PENDING, DocumentStatus.PROCESSING):
            raise DocumentBusy
        document.status = DocumentStatus.PENDING.value
        document.error = None
        document.progress = None
        await _submit(session, caller, document.knowledge_base_id, document_id, document.name, ring, key, request)
    return await get_document(session, document_id)


async def _take(
    app: Resources, caller: Principal, knowledge_base_id: UUID, file: ReceivedFile, key: str | None
) -> UploadResult:
    try:
        media_type = _check(file, app.settings.upload_max_bytes)
    except ExtractionError as refusal:
        error = DocumentError(code=refusal.code, message=refusal.message)
        return UploadResult(name=file.name, status=UploadStatus.REFUSED, document=None, error=error)
    request: JsonObject = {"upload": str(knowledge_base_id), "name": file.name, "content_hash": file.content_hash}
    async with _storing:
        data = file.read()
        values = _values(caller, knowledge_base_id, file.name, media_type, data, file.content_hash)
        async with app.database.write(caller.scope) as session:
            if await find_submitted(session, key, ExecutionKind.INGESTION, request) is not None:
                view, is_new = await _require_content(session, knowledge_base_id, file.content_hash), True
            else:
                view, is_new = await _store(session, caller, values, data, app.doorbell.ring, key=key, request=request)
    status = UploadStatus.ACCEPTED if is_new else UploadStatus.DUPLICATE
    return UploadResult(name=file.name, status=status, document=out(view), error=None)


def _check(file: ReceivedFile, max_bytes: int) -> str:
    """The media type as far as the file's beginning shows it; raises `ExtractionError` for what is no document."""
    if file.too_large:
        message = f"The file is larger than {max_bytes / 1_000_000:,.0f} MB."
        raise ExtractionError(ExtractionCode.TOO_LARGE, message)
    found = check_head(file.head(_HEAD), file.name)
    return found.media_type if found else _UNKNOWN


def _all_refused(results: list[UploadResult]) -> AppError:
    errors = [(result.name, result.error) for result in results if result.error]
    details = [
        ErrorDetail(field=f"files.{place}", message=f"{name}: {error.message}", code=error.code)
        for place, (name, error) in enumerate(errors)
    ]
    codes = {error.code for _, error in errors}
    if codes == {ExtractionCode.TOO_LARGE}:
        return FilesTooLarge(details=details)
    return FilesUnsupported(details=details) if codes == {ExtractionCode.UNSUPPORTED} else FilesRefused(details=details)


async def _require(session: ReadSession, document_id: UUID) -> DocumentView:
    view = await repository.get_document(session, document_id)
    if view is None:
        raise DocumentNotFound
    return view


async def _require_content(session: ReadSession, knowledge_base_id: UUID, content_hash: str) -> DocumentView:
    """What an earlier request with the same key has stored."""
    view = await repository.find_by_content(session, knowledge_base_id, content_hash)
    if view is None:
        raise DocumentNotFound("The document that was made with this Idempotency-Key is gone.")
    return view


def _values(
    caller: Principal, knowledge_base_id: UUID, name: str, media_type: str, data: bytes, content_hash: str
) -> JsonObject:
    return {
        "id": new_id(),
        "tenant_id": caller.tenant_id,
        "knowledge_base_id": knowledge_base_id,
        "name": name,
        "media_type": media_type,
        "size_bytes": len(data),
        "content_hash": content_hash,
        "status": DocumentStatus.PENDING.value,
        "created_by": caller.user_id,
    }


async def _store(
    session: WriteSession,
    caller: Principal,
    values: JsonObject,
    data: bytes,
    ring: Ring,
    *,
    key: str | None = None,
    request: JsonObject | None = None,
) -> tuple[DocumentView, bool]:
    """The new document, or the one that has the same content, and which of the two it is."""
    base: UUID = values["knowledge_base_id"]
    if not await repository.hold_knowledge_base(session, base):
        raise KnowledgeBaseNotFound
    if not await repository.insert_document(session, values, data):
        view = await repository.find_by_content(session, base, values["content_hash"])
        if view is None:  # deleted this very moment
            raise DocumentBusy
        return view, False
    await _submit(session, caller, base, values["id"], values["name"], ring, key, request)
    return await _require(session, values["id"]), True


async def _submit(
    session: WriteSession,
    caller: Principal,
    knowledge_base_id: UUID,
    document_id: UUID,
    name: str,
    ring: Ring,
    key: str | None,
    request: JsonObject | None,
) -> None:
    submission = Submission(
        tenant_id=caller.tenant_id,
        kind=ExecutionKind.INGESTION,
        lane=Lane.INGESTION,
        name=f"Ingest {name}",
        spec={"document_id": str(document_id), "knowledge_base_id": str(knowledge_base_id), "name": name},
        inputs={},
        created_by=caller.user_id,
        correlation_id=correlation_id(),
        idempotency_key=key,
        request=request,
    )
    execution = await submit(session, submission, ring)
    await repository.set_execution(session, document_id, execution.id)


def out(view: DocumentView) -> DocumentOut:
    document = view.document
    is_open = view.status in (DocumentStatus.PENDING, DocumentStatus.PROCESSING)
    return DocumentOut(
        id=document.id,
        knowledge_base_id=document.knowledge_base_id,
        name=document.name,
        media_type=document.media_type,
        size_bytes=document.size_bytes,
        content_hash=document.content_hash,
        status=view.status,
        error=_error(view),
        progress=DocumentProgress.model_validate(document.progress) if is_open and document.progress else None,
        page_count=document.page_count,
        char_count=document.char_count,
        chunk_count=document.chunk_count,
        execution_id=document.execution_id,
        created_at=document.created_at,
        updated_at=document.updated_at,
    )


def _error(view: DocumentView) -> DocumentError | None:
    if view.status is not DocumentStatus.FAILED:
        return None
    if view.document.error:
        return DocumentError(code=view.document.error["code"], message=view.document.error["message"])
    if view.execution_error:
        return DocumentError(
            code=str(view.execution_error.get("code", "internal")),
            message=str(view.execution_error.get("message", "The document could not be processed.")),
        )
    return DocumentError(code="cancelled", message="The processing of the document was cancelled.")
