"""Files and texts that become documents: taken in at once, processed by an execution each."""

import asyncio
import hashlib
import io
from typing import Any
from uuid import UUID

from services.knowledge_base import locks
from services.knowledge_base.documents import processing, repository
from services.knowledge_base.documents.errors import (
    DocumentBusy,
    DocumentDuplicate,
    DocumentNotFound,
    DocumentNotReplaceable,
    FilesRefused,
    FilesTooLarge,
    FilesUnsupported,
    TooManyFiles,
    UploadMalformed,
)
from services.knowledge_base.documents.fields import parse_fields, require_agents, seal
from services.knowledge_base.documents.multipart import ReceivedFile, Upload
from services.knowledge_base.documents.repository import DocumentView
from services.knowledge_base.documents.schemas import (
    DocumentError,
    DocumentOut,
    DocumentSource,
    DocumentStatus,
    TextContent,
    UploadFields,
    UploadOut,
    UploadResult,
    UploadStatus,
)
from services.knowledge_base.documents.service import require
from services.knowledge_base.documents.shape import out
from services.knowledge_base.documents.versions import UNKNOWN, Content, insert_document, store_version
from services.knowledge_base.ingestion.extract.model import DocumentFormat, ExtractionCode
from services.knowledge_base.limits import service as limits
from services.knowledge_base.limits.errors import KnowledgeLimitReached
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.executions.submit import find_submitted
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.errors import AppError, ErrorDetail
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind

# A large file keeps a connection to Postgres for seconds: however many upload, others find one too.
_storing = asyncio.Semaphore(6)


async def max_bytes_into(app: Resources, caller: Principal, knowledge_base_id: UUID) -> int:
    """How large a file may be. Before an upload's first byte is read: raises `KnowledgeBaseNotFound`."""
    async with app.database.read(caller.scope) as session:
        if not await repository.knowledge_base_exists(session, knowledge_base_id):
            raise KnowledgeBaseNotFound
        return (await limits.limits_of(session, app.settings, caller.tenant_id)).max_file_bytes


async def max_bytes_in_place(app: Resources, caller: Principal, document_id: UUID) -> int:
    """As `max_bytes_into`, for what replaces a document: raises `DocumentNotFound`, `DocumentNotReplaceable`."""
    async with app.database.read(caller.scope) as session:
        _require_replaceable(await require(session, document_id))
        return (await limits.limits_of(session, app.settings, caller.tenant_id)).max_file_bytes


async def upload(
    app: Resources, caller: Principal, knowledge_base_id: UUID, form: Upload, key: str | None
) -> UploadOut:
    """Takes the files one by one, each in a transaction of its own: a bad one does not stop the others."""
    results: list[UploadResult] = []
    fields: UploadFields | None = None
    try:
        async for file in form.files():
            # No header has a line break, so the key of a file is never one that a caller gave.
            file_key = None if key is None else f"{key}\n{len(results)}"
            try:
                fields = fields or await _fields(app, caller, form)
                results.append(await _take(app, caller, knowledge_base_id, file, fields, file_key))
            finally:
                file.close()
    except (UploadMalformed, TooManyFiles) as fault:
        # How much has arrived before it shows is chance. What was taken stays, so it has to be told.
        if all(result.status is UploadStatus.REFUSED for result in results):
            raise
        results.append(_rest_refused(fault))
    if all(result.status is UploadStatus.REFUSED for result in results):
        raise _all_refused(results)
    return UploadOut(items=results)


async def add_text(
    app: Resources,
    session: WriteSession,
    caller: Principal,
    knowledge_base_id: UUID,
    content: TextContent,
    key: str | None,
) -> DocumentOut:
    # Fields that are left out are as if there were none: keys of requests from before stay good.
    request: JsonObject = {
        "knowledge_base_id": str(knowledge_base_id),
        **content.model_dump(mode="json", exclude={"tags", "agent_ids"}),
        **content.model_dump(mode="json", include={"tags", "agent_ids"}, exclude_defaults=True),
    }
    earlier = await find_submitted(session, key, ExecutionKind.INGESTION, request)
    if earlier is not None:
        return out(await _made_by(session, earlier))
    await require_agents(session, content.agent_ids)
    data = content.text.encode()
    largest = (await limits.limits_of(session, app.settings, caller.tenant_id)).max_file_bytes
    if len(data) > largest:
        raise FilesTooLarge(f"The text is larger than {largest:,} bytes.")
    kind = DocumentFormat.MARKDOWN if content.format == "markdown" else DocumentFormat.TEXT
    received = Content(content.name, kind.media_type, len(data), hashlib.sha256(data).hexdigest(), io.BytesIO(data))
    values = {
        "source": DocumentSource.TEXT.value,
        "tags": content.tags,
        "agent_ids": content.agent_ids,
    }
    view, is_new = await _store(app, session, caller, knowledge_base_id, received, values, key=key, request=request)
    if not is_new:
        raise DocumentDuplicate(f"The knowledge base holds this content already, as {view.document.name!r}.")
    return out(view)


async def replace(app: Resources, caller: Principal, document_id: UUID, form: Upload) -> tuple[DocumentOut, bool]:
    """The document with its one new file, and whether that is another content than it had."""
    received: ReceivedFile | None = None
    try:
        async for file in form.files():  # to the end of the body, which may be malformed there
            received = file
        if received is None:
            raise UploadMalformed("The upload holds no file.")
        return await _replace(app, caller, document_id, received, parse_fields(form.fields))
    finally:
        if received is not None:
            received.close()


async def _replace(
    app: Resources, caller: Principal, document_id: UUID, file: ReceivedFile, fields: UploadFields
) -> tuple[DocumentOut, bool]:
    if file.refusal is not None:
        error = DocumentError(code=file.refusal.code, message=file.refusal.message)
        refused = UploadResult(name=file.name, status=UploadStatus.REFUSED, document=None, error=error)
        raise _all_refused([refused], "file")
    async with _storing, app.database.write(caller.scope) as session:
        document = await repository.lock_document(session, document_id)
        if document is None:
            raise DocumentNotFound
        _require_replaceable(await require(session, document_id))
        number = await store_version(session, app.settings, document, _content(file), created_by=caller.user_id)
        if number is not None:
            if fields.password is not None:
                document.password = seal(app.cipher, fields.password, document.tenant_id, document.id)
            await processing.begin(session, document, app.doorbell.ring, created_by=caller.user_id)
            await session.refresh(document)
        return out(await require(session, document_id)), number is not None


def _require_replaceable(view: DocumentView) -> None:
    """What comes from elsewhere would be replaced again from there."""
    if view.document.source == DocumentSource.ARCHIVE.value:
        raise DocumentNotReplaceable("The document came out of an archive: replace the archive.")
    if view.document.source == DocumentSource.URL.value:
        raise DocumentNotReplaceable("The document is a web page: it is renewed when it is fetched again.")


async def _fields(app: Resources, caller: Principal, form: Upload) -> UploadFields:
    fields = parse_fields(form.fields)
    async with app.database.read(caller.scope) as session:
        await require_agents(session, fields.agent_ids)
    return fields


async def _take(
    app: Resources,
    caller: Principal,
    knowledge_base_id: UUID,
    file: ReceivedFile,
    fields: UploadFields,
    key: str | None,
) -> UploadResult:
    if file.refusal is not None:
        return _refused(file, file.refusal.code, file.refusal.message)
    try:
        async with _storing, app.database.write(caller.scope) as session:
            view, is_new = await _take_once(app, session, caller, knowledge_base_id, file, fields, key)
    except KnowledgeLimitReached as refusal:
        return _refused(file, refusal.code, refusal.text)
    status = UploadStatus.ACCEPTED if is_new else UploadStatus.DUPLICATE
    return UploadResult(name=file.name, status=status, document=out(view), error=None)


async def _take_once(
    app: Resources,
    session: WriteSession,
    caller: Principal,
    knowledge_base_id: UUID,
    file: ReceivedFile,
    fields: UploadFields,
    key: str | None,
) -> tuple[DocumentView, bool]:
    given = fields.model_dump(mode="json", exclude={"password"}, exclude_defaults=True)
    request: JsonObject = {
        "upload": str(knowledge_base_id),
        "name": file.name,
        "content_hash": file.content_hash,
        **given,
    }
    earlier = await find_submitted(session, key, ExecutionKind.INGESTION, request)
    if earlier is not None:
        return await _made_by(session, earlier), True
    document_id = new_id()
    values = {
        "id": document_id,
        "tags": fields.tags,
        "agent_ids": fields.agent_ids,
        "password": seal(app.cipher, fields.password, caller.tenant_id, document_id),
    }
    return await _store(app, session, caller, knowledge_base_id, _content(file), values, key=key, request=request)


def _content(file: ReceivedFile) -> Content:
    media_type = UNKNOWN if file.found is None else file.found.media_type
    return Content(file.name, media_type, file.size, file.content_hash, file.content)


def _refused(file: ReceivedFile, code: str, message: str) -> UploadResult:
    error = DocumentError(code=code, message=message)
    return UploadResult(name=file.name, status=UploadStatus.REFUSED, document=None, error=error)


def _rest_refused(fault: AppError) -> UploadResult:
    details = "; ".join(f"{detail.field} {detail.message}" for detail in fault.details)
    error = DocumentError(code=fault.code, message=f"{fault.text} ({details})" if details else fault.text)
    return UploadResult(name="", status=UploadStatus.REFUSED, document=None, error=error)


_TOO_MUCH = {ExtractionCode.TOO_LARGE.value, KnowledgeLimitReached.code}


def _all_refused(results: list[UploadResult], only_field: str | None = None) -> AppError:
    errors = [(result.name, result.error) for result in results if result.error]
    details = [
        ErrorDetail(field=only_field or f"files.{place}", message=f"{name}: {error.message}", code=error.code)
        for place, (name, error) in enumerate(errors)
    ]
    codes = {str(error.code) for _, error in errors}
    if codes == {KnowledgeLimitReached.code}:
        return KnowledgeLimitReached(details=details)
    if codes and codes <= _TOO_MUCH:
        return FilesTooLarge(details=details)
    unsupported = codes == {ExtractionCode.UNSUPPORTED.value}
    return FilesUnsupported(details=details) if unsupported else FilesRefused(details=details)


async def _made_by(session: WriteSession, execution: ExecutionRow) -> DocumentView:
    """What an earlier request with the same key has stored."""
    view = await repository.get_document(session, UUID(execution.spec["document_id"]))
    if view is None:
        raise DocumentNotFound("The document that was made with this Idempotency-Key is gone.")
    return view


async def _store(
    app: Resources,
    session: WriteSession,
    caller: Principal,
    knowledge_base_id: UUID,
    content: Content,
    values: dict[str, Any],
    *,
    key: str | None,
    request: JsonObject,
) -> tuple[DocumentView, bool]:
    """The new document, or the one that has the same content, and which of the two it is."""
    if not await locks.hold_base(session, knowledge_base_id):
        raise KnowledgeBaseNotFound
    whole = {
        "id": new_id(),
        "tenant_id": caller.tenant_id,
        "knowledge_base_id": knowledge_base_id,
        "status": DocumentStatus.PENDING.value,
        "created_by": caller.user_id,
        **values,
    }
    document = await insert_document(session, app.settings, whole, content)
    if document is None:
        view = await repository.find_by_content(session, knowledge_base_id, content.content_hash)
        if view is None:  # deleted this very moment
            raise DocumentBusy
        return view, False
    await processing.begin(session, document, app.doorbell.ring, created_by=caller.user_id, key=key, request=request)
    await limits.settle(session, app.settings, caller.tenant_id, adds_documents=True)
    await session.refresh(document)
    return await require(session, document.id), True
