"""Documents of a knowledge base, and what can be done to them once they are there."""

from typing import Any
from uuid import UUID

from services.knowledge_base import locks
from services.knowledge_base.documents import processing, repository
from services.knowledge_base.documents.deleting import delete_documents
from services.knowledge_base.documents.errors import DocumentBusy, DocumentNotFound
from services.knowledge_base.documents.fields import require_agents, seal
from services.knowledge_base.documents.refreshing import refresh_every
from services.knowledge_base.documents.repository import DocumentFilter, DocumentView
from services.knowledge_base.documents.schemas import (
    DocumentChange,
    DocumentOut,
    DocumentSort,
    DocumentSource,
    DocumentsSummary,
    DocumentStatus,
    ReprocessRequest,
    TagCount,
)
from services.knowledge_base.documents.shape import is_open, out
from services.knowledge_base.locks import Keep
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.submit import Ring, find_submitted
from shared.kit.json import JsonObject
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.security.encryption import Cipher
from shared.web.errors import ErrorDetail, Invalid
from shared.web.pagination import Page, decode_cursor, page
from shared.workflow.states import ExecutionKind

_ALIKE = ("tags", "agent_ids")  # an archive and what it holds


async def list_documents(
    session: ReadSession,
    knowledge_base_id: UUID,
    wanted: DocumentFilter,
    *,
    sort: DocumentSort,
    limit: int,
    cursor: str | None,
) -> Page[DocumentOut]:
    if not await repository.knowledge_base_exists(session, knowledge_base_id):
        raise KnowledgeBaseNotFound
    sorting = repository.SORTINGS[sort]
    place = decode_cursor(cursor, sorting.read, UUID) if cursor else None
    after = None if place is None else (place[0], place[1])
    rows = await repository.list_documents(session, knowledge_base_id, wanted, sort=sort, after=after, limit=limit + 1)
    column = sorting.column.key
    return page(rows, limit, out, lambda view: (getattr(view.document, column), view.document.id))


async def summarise(session: ReadSession, knowledge_base_id: UUID) -> DocumentsSummary:
    if not await repository.knowledge_base_exists(session, knowledge_base_id):
        raise KnowledgeBaseNotFound
    counted = await repository.count_by_status(session, knowledge_base_id)
    by_status = dict.fromkeys(DocumentStatus, 0) | {status: count for status, count, _, _ in counted}
    tags = await repository.count_tags(session, knowledge_base_id)
    return DocumentsSummary(
        documents=sum(by_status.values()),
        searchable=sum(found for _, _, found, _ in counted),
        bytes=sum(size for _, _, _, size in counted),
        by_status=by_status,
        tags=[TagCount(tag=tag, documents=count) for tag, count in tags],
    )


async def get_document(session: ReadSession, document_id: UUID) -> DocumentOut:
    return out(await require(session, document_id))


async def change_document(
    session: WriteSession, caller: Principal, document_id: UUID, change: DocumentChange
) -> DocumentOut:
    document = await _lock(session, document_id)
    given = change.model_dump(exclude_unset=True)
    await require_agents(session, given.get("agent_ids", []))
    if "refresh_every_hours" in given:
        _refresh(document, caller, given.pop("refresh_every_hours"))
    if "name" in given and not given["name"]:
        raise Invalid(details=[ErrorDetail(field="name", message="must not be empty", code="string_too_short")])
    for field, value in given.items():
        setattr(document, field, value)
    await session.flush()
    if alike := {field: given[field] for field in _ALIKE if field in given}:
        await repository.set_children(session, document_id, alike)
    await session.refresh(document)
    return await get_document(session, document_id)


async def delete_document(session: WriteSession, caller: Principal, document_id: UUID, ring: Ring) -> None:
    await _lock(session, document_id, Keep.INDEX)
    going = await locks.lock_with_children(session, [document_id])
    await delete_documents(session, caller, going[document_id].name, list(going.values()), ring)


async def reprocess(
    session: WriteSession,
    caller: Principal,
    document_id: UUID,
    wanted: ReprocessRequest,
    *,
    cipher: Cipher,
    ring: Ring,
    key: str | None,
) -> DocumentOut:
    document = await _lock(session, document_id)
    changes: dict[str, Any] = wanted.model_dump(exclude_unset=True, exclude={"password"})
    # Without the password: its hash would tell it to who can guess.
    request: JsonObject = {"reprocess": str(document_id), **({"settings": changes} if changes else {})}
    if await find_submitted(session, key, ExecutionKind.INGESTION, request) is None:
        require_idle(await require(session, document_id))
        await _set(session, document, changes)
        if "password" in wanted.model_fields_set:
            document.password = seal(cipher, wanted.password, document.tenant_id, document.id)
        await processing.begin(session, document, ring, created_by=caller.user_id, key=key, request=request)
        await session.refresh(document)
    return await get_document(session, document_id)


async def require(session: ReadSession, document_id: UUID) -> DocumentView:
    view = await repository.get_document(session, document_id)
    if view is None:
        raise DocumentNotFound
    return view


def require_idle(view: DocumentView) -> None:
    if is_open(view):
        raise DocumentBusy


async def _lock(session: WriteSession, document_id: UUID, keep: Keep = Keep.THERE) -> Document:
    document = await repository.lock_document(session, document_id, keep)
    if document is None:
        raise DocumentNotFound
    return document


def _refresh(document: Document, caller: Principal, hours: int | None) -> None:
    if document.source != DocumentSource.URL.value and hours is not None:
        detail = ErrorDetail(field="refresh_every_hours", message="is for web pages alone", code="not_a_web_page")
        raise Invalid(details=[detail])
    for column, value in refresh_every(hours, caller).items():
        setattr(document, column, value)


async def _set(session: WriteSession, document: Document, changes: dict[str, Any]) -> None:
    """Settings that are null are those of the knowledge base again. Raises `Invalid` where they do not go together."""
    settings = {name: value for name, value in {**(document.settings or {}), **changes}.items() if value is not None}
    base = await repository.get_knowledge_base(session, document.knowledge_base_id)
    assert base is not None, "a document has a knowledge base"
    size = settings.get("chunk_size", base.chunk_size)
    overlap = settings.get("chunk_overlap", min(base.chunk_overlap, size // 2))
    if overlap > size // 2:
        message = f"must be at most half of chunk_size, which is {size}"
        raise Invalid(details=[ErrorDetail(field="chunk_overlap", message=message, code="chunk_overlap")])
    document.settings = settings or None
