from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from services.knowledge_base.bases import service
from services.knowledge_base.bases.errors import EmbeddingModelUnknown, NameTaken, SummaryModelUnknown
from services.knowledge_base.bases.schemas import (
    KnowledgeBaseCreate,
    KnowledgeBaseOut,
    KnowledgeBaseSort,
    KnowledgeBaseUpdate,
)
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/knowledge-bases", tags=["knowledge bases"])

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_WRITE))]
_REFUSED = (EmbeddingModelUnknown, SummaryModelUnknown)
NamePart = Annotated[str | None, Query(alias="q", max_length=200, description="A part of the name.")]


@router.get("", responses=responses(NotAllowed))
async def list_knowledge_bases(
    session: ReadDb,
    caller: Reader,
    q: NamePart = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: KnowledgeBaseSort = KnowledgeBaseSort.NEWEST,
) -> Page[KnowledgeBaseOut]:
    return await service.list_bases(session, name=q, limit=limit, cursor=cursor, sort=sort)


@router.post("", status_code=status.HTTP_201_CREATED, responses=responses(NotAllowed, NameTaken, *_REFUSED))
async def create_knowledge_base(
    request: KnowledgeBaseCreate, session: WriteDb, app: App, caller: Writer
) -> KnowledgeBaseOut:
    return await service.create(app, session, caller, request)


@router.get("/{knowledge_base_id}", responses=responses(NotAllowed, KnowledgeBaseNotFound))
async def get_knowledge_base(knowledge_base_id: UUID, session: ReadDb, caller: Reader) -> KnowledgeBaseOut:
    return await service.get_base(session, knowledge_base_id)


@router.put("/{knowledge_base_id}", responses=responses(NotAllowed, KnowledgeBaseNotFound, NameTaken, *_REFUSED))
async def update_knowledge_base(
    knowledge_base_id: UUID, request: KnowledgeBaseUpdate, session: WriteDb, app: App, caller: Writer
) -> KnowledgeBaseOut:
    """Replaces all of it, but for an embedding model or a language that is not named.

    New chunk sizes hold for documents that are processed from now on. Another embedding model has all documents
    embedded anew by an execution, `building`, while the present one goes on answering; cancelling that execution
    leaves all as it is. While one is being built the last word counts."""
    return await service.update(app, session, caller, knowledge_base_id, request)


@router.delete(
    "/{knowledge_base_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, KnowledgeBaseNotFound),
)
async def delete_knowledge_base(knowledge_base_id: UUID, session: WriteDb, app: App, caller: Writer) -> None:
    """With all its documents. Its vectors are removed by an execution."""
    await service.delete(session, caller, knowledge_base_id, app)
