"""Pages named by their addresses become documents: taken in at once, fetched by an execution each."""

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from services.knowledge_base import locks
from services.knowledge_base.documents import processing, repository
from services.knowledge_base.documents.errors import DocumentBusy, DocumentNotFound
from services.knowledge_base.documents.fields import require_agents
from services.knowledge_base.documents.refreshing import refresh_every
from services.knowledge_base.documents.repository import DocumentView
from services.knowledge_base.documents.schemas import (
    DocumentError,
    DocumentSource,
    DocumentStatus,
    UploadOut,
    UploadResult,
    UploadStatus,
)
from services.knowledge_base.documents.service import require
from services.knowledge_base.documents.shape import out
from services.knowledge_base.documents.versions import UNKNOWN
from services.knowledge_base.limits import service as limits
from services.knowledge_base.limits.errors import KnowledgeLimitReached
from services.knowledge_base.web.addresses import name_of_page, normal_url
from services.knowledge_base.web.errors import UrlsRefused
from services.knowledge_base.web.schemas import UrlContent
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.submit import find_submitted
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.net.policy import UrlRefused
from shared.web.errors import ErrorDetail
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind

_REFUSED = "url_refused"


async def add_pages(
    app: Resources, caller: Principal, knowledge_base_id: UUID, content: UrlContent, key: str | None
) -> UploadOut:
    """Takes the addresses one by one, each in a transaction of its own: a bad one does not stop the others."""
    async with app.database.read(caller.scope) as session:
        if not await repository.knowledge_base_exists(session, knowledge_base_id):
            raise KnowledgeBaseNotFound
        await require_agents(session, content.agent_ids)
    results = [
        # No header has a line break, so the key of a page is never one that a caller gave.
        await _take(app, caller, knowledge_base_id, url, content, None if key is None else f"{key}\n{place}")
        for place, url in enumerate(content.urls)
    ]
    if all(result.status is UploadStatus.REFUSED for result in results):
        _refuse(results)
    return UploadOut(items=results)


async def _take(
    app: Resources, caller: Principal, knowledge_base_id: UUID, given: str, content: UrlContent, key: str | None
) -> UploadResult:
    try:
        url = normal_url(given, app.outbound.policy)
        async with app.database.write(caller.scope) as session:
            view, is_new = await _take_once(app, session, caller, knowledge_base_id, url, content, key)
    except UrlRefused as error:
        return _refused(given, _REFUSED, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    except KnowledgeLimitReached as error:
        return _refused(given, error.code, error.text)
    status = UploadStatus.ACCEPTED if is_new else UploadStatus.DUPLICATE
    return UploadResult(name=given, status=status, document=out(view), error=None)


async def _take_once(
    app: Resources,
    session: WriteSession,
    caller: Principal,
    knowledge_base_id: UUID,
    url: str,
    content: UrlContent,
    key: str | None,
) -> tuple[DocumentView, bool]:
    given = content.model_dump(mode="json", exclude={"urls"}, exclude_defaults=True)
    request: JsonObject = {"page": url, "knowledge_base_id": str(knowledge_base_id), **given}
    earlier = await find_submitted(session, key, ExecutionKind.INGESTION, request)
    if earlier is not None:
        view = await repository.get_document(session, UUID(earlier.spec["document_id"]))
        if view is None:
            raise DocumentNotFound("The document that was made with this Idempotency-Key is gone.")
        return view, True
    if not await locks.hold_base(session, knowledge_base_id):
        raise KnowledgeBaseNotFound
    document = await _insert(session, caller, knowledge_base_id, url, content)
    if document is None:
        return await _known(session, knowledge_base_id, url), False
    await processing.begin(session, document, app.doorbell.ring, created_by=caller.user_id, key=key, request=request)
    await limits.settle(session, app.settings, caller.tenant_id, adds_documents=True)
    await session.refresh(document)
    return await require(session, document.id), True


async def _insert(
    session: WriteSession, caller: Principal, knowledge_base_id: UUID, url: str, content: UrlContent
) -> Document | None:
    """A document that has no content yet. None if the knowledge base has this page already."""
    values: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": caller.tenant_id,
        "knowledge_base_id": knowledge_base_id,
        "name": content.name or name_of_page(url),
        "media_type": UNKNOWN,
        "size_bytes": 0,
        # Until there is content to be hashed; no hash looks like this.
        "content_hash": f"url:{hashlib.sha256(url.encode()).hexdigest()}",
        "status": DocumentStatus.PENDING.value,
        "version": 0,
        "source": DocumentSource.URL.value,
        "url": url,
        "tags": content.tags,
        "agent_ids": content.agent_ids,
        **refresh_every(content.refresh_every_hours, caller),
        "created_by": caller.user_id,
    }
    statement = insert(Document).values(values).on_conflict_do_nothing().returning(Document.id)
    if await session.scalar(statement) is None:
        return None
    return await session.get_one(Document, values["id"])


async def _known(session: ReadSession, knowledge_base_id: UUID, url: str) -> DocumentView:
    statement = select(Document.id).where(Document.knowledge_base_id == knowledge_base_id, Document.url == url)
    found = await session.scalar(statement)
    if found is None:  # deleted this very moment
        raise DocumentBusy
    return await require(session, found)


def _refused(url: str, code: str, message: str) -> UploadResult:
    error = DocumentError(code=code, message=message)
    return UploadResult(name=url, status=UploadStatus.REFUSED, document=None, error=error)


def _refuse(results: list[UploadResult]) -> None:
    details = [
        ErrorDetail(field=f"urls.{place}", message=result.error.message, code=result.error.code)
        for place, result in enumerate(results)
        if result.error
    ]
    if {detail.code for detail in details} == {KnowledgeLimitReached.code}:
        raise KnowledgeLimitReached(details=details)
    raise UrlsRefused(details=details)
