from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status
from pydantic import StringConstraints

from services.knowledge_base.documents import bulk, service
from services.knowledge_base.documents.errors import DocumentBusy, DocumentNotFound
from services.knowledge_base.documents.repository import DocumentFilter
from services.knowledge_base.documents.schemas import (
    BulkOut,
    BulkRequest,
    DocumentChange,
    DocumentOut,
    DocumentSort,
    DocumentSource,
    DocumentsSummary,
    DocumentStatus,
    ReprocessRequest,
)
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
WantedTag = Annotated[str, StringConstraints(max_length=50, pattern=r"^[^\x00]*$")]
WantedTags = Annotated[list[WantedTag], Query(alias="tag", max_length=30, description="Of several, all.")]
Parent = Annotated[
    UUID | Literal["none"] | None,
    Query(description="An archive, for what it holds; `none`: only what came out of no archive."),
]


@router.get("/knowledge-bases/{knowledge_base_id}/documents", responses=responses(NotAllowed, KnowledgeBaseNotFound))
async def list_documents(
    knowledge_base_id: UUID,
    session: ReadDb,
    caller: Reader,
    tags: WantedTags = [],  # noqa: B006 - a query parameter's default, never changed
    status: DocumentStatus | None = None,
    source: DocumentSource | None = None,
    parent: Parent = None,
    q: NamePart = None,
    sort: DocumentSort = DocumentSort.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DocumentOut]:
    """The documents of a knowledge base."""
    wanted = DocumentFilter(status=status, name=q, tags=tags, source=source, parent=parent)
    return await service.list_documents(session, knowledge_base_id, wanted, sort=sort, limit=limit, cursor=cursor)


@router.get(
    "/knowledge-bases/{knowledge_base_id}/documents/summary", responses=responses(NotAllowed, KnowledgeBaseNotFound)
)
async def summarise_documents(knowledge_base_id: UUID, session: ReadDb, caller: Reader) -> DocumentsSummary:
    """How many there are, by status and by tag."""
    return await service.summarise(session, knowledge_base_id)


@router.post(
    "/knowledge-bases/{knowledge_base_id}/documents/bulk", responses=responses(NotAllowed, KnowledgeBaseNotFound)
)
async def change_documents(
    knowledge_base_id: UUID, request: BulkRequest, session: WriteDb, app: App, caller: Writer
) -> BulkOut:
    """Deletes, processes again, tags or untags many documents; one that refuses does not stop the others."""
    return await bulk.apply(session, caller, knowledge_base_id, request, app.doorbell.ring)


@router.get("/documents/{document_id}", responses=responses(NotAllowed, DocumentNotFound))
async def get_document(document_id: UUID, session: ReadDb, caller: Reader) -> DocumentOut:
    return await service.get_document(session, document_id)


@router.patch("/documents/{document_id}", responses=responses(NotAllowed, DocumentNotFound))
async def change_document(document_id: UUID, change: DocumentChange, session: WriteDb, caller: Writer) -> DocumentOut:
    """What is said of the document, not what it holds. Takes effect at once, without processing it again."""
    return await service.change_document(session, caller, document_id, change)


@router.delete(
    "/documents/{document_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, DocumentNotFound),
)
async def delete_document(document_id: UUID, session: WriteDb, app: App, caller: Writer) -> None:
    """With all its versions, and an archive with what it holds. It is found no more from this moment on; its vectors
    are removed by an execution."""
    await service.delete_document(session, caller, document_id, app.doorbell.ring)


@router.post(
    "/documents/{document_id}/reprocess",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, DocumentNotFound, DocumentBusy, IdempotencyMismatch),
)
async def reprocess_document(
    document_id: UUID,
    session: WriteDb,
    app: App,
    caller: Writer,
    request: ReprocessRequest | None = None,
    idempotency_key: IdempotencyKey = None,
) -> DocumentOut:
    """Processes the newest version again, as document and knowledge base are set up now. What was processed before is
    found until this is done, and stays if it fails."""
    return await service.reprocess(
        session,
        caller,
        document_id,
        request or ReprocessRequest(),
        cipher=app.cipher,
        ring=app.doorbell.ring,
        key=idempotency_key,
    )
