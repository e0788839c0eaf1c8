from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status

from services.knowledge_base.evaluation.access import Reader, Writer
from services.knowledge_base.evaluation.errors import SetNameTaken, SetNotFound
from services.knowledge_base.evaluation.sets import service
from services.knowledge_base.evaluation.sets.schemas import EvaluationSetIn, EvaluationSetOut
from shared.auth.errors import NotAllowed
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.dependencies import ReadDb, WriteDb
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/evaluation-sets", tags=["evaluation"])

NamePart = Annotated[str | None, Query(alias="q", max_length=200, description="A part of the name.")]


@router.get("", responses=responses(NotAllowed))
async def list_evaluation_sets(
    session: ReadDb, caller: Reader, q: NamePart = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[EvaluationSetOut]:
    """Newest first."""
    return await service.list_sets(session, name=q, limit=limit, cursor=cursor)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, KnowledgeBaseNotFound, SetNameTaken),
)
async def create_evaluation_set(request: EvaluationSetIn, session: WriteDb, caller: Writer) -> EvaluationSetOut:
    """Questions with the documents that should be found for them, for some knowledge bases together."""
    return await service.create(session, caller, request)


@router.get("/{set_id}", responses=responses(NotAllowed, SetNotFound))
async def get_evaluation_set(set_id: UUID, session: ReadDb, caller: Reader) -> EvaluationSetOut:
    return await service.get_set(session, set_id)


@router.put("/{set_id}", responses=responses(NotAllowed, SetNotFound, KnowledgeBaseNotFound, SetNameTaken))
async def update_evaluation_set(
    set_id: UUID, request: EvaluationSetIn, session: WriteDb, caller: Writer
) -> EvaluationSetOut:
    """Replaces all of it but its questions."""
    return await service.update(session, set_id, request)


@router.delete("/{set_id}", status_code=status.HTTP_204_NO_CONTENT, responses=responses(NotAllowed, SetNotFound))
async def delete_evaluation_set(set_id: UUID, session: WriteDb, caller: Writer) -> None:
    """With its questions and runs."""
    await service.delete(session, set_id)
