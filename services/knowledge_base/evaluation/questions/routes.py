from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response, status

from services.knowledge_base.evaluation.access import Reader, Writer
from services.knowledge_base.evaluation.errors import (
    DocumentUnknown,
    ImportRefused,
    ModelUnusable,
    NothingToAskAbout,
    QuestionNotFound,
    QuestionTaken,
    SetFull,
    SetNotFound,
)
from services.knowledge_base.evaluation.questions import generating, service
from services.knowledge_base.evaluation.questions.schemas import (
    ChangedOut,
    ExportFormat,
    GenerateRequest,
    ImportOut,
    ImportRequest,
    QuestionIds,
    QuestionIn,
    QuestionOut,
    QuestionStatus,
)
from shared.auth.errors import NotAllowed
from shared.executions.errors import IdempotencyMismatch
from shared.executions.schemas import ExecutionSummary
from shared.executions.submit import IdempotencyKey
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.dependencies import App, Person, ReadDb, WriteDb
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/evaluation-sets/{set_id}", tags=["evaluation"])

TextPart = Annotated[str | None, Query(alias="q", max_length=200, description="A part of the question.")]


@router.get("/questions", responses=responses(NotAllowed, SetNotFound))
async def list_evaluation_questions(
    set_id: UUID,
    session: ReadDb,
    caller: Reader,
    status: QuestionStatus | None = None,
    q: TextPart = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[QuestionOut]:
    """In the order in which they were made."""
    return await service.list_questions(session, set_id, status=status, text=q, limit=limit, cursor=cursor)


@router.post(
    "/questions",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, SetNotFound, DocumentUnknown, QuestionTaken, SetFull),
)
async def add_evaluation_question(set_id: UUID, request: QuestionIn, session: WriteDb, caller: Writer) -> QuestionOut:
    return await service.add(session, caller, set_id, request)


@router.post(
    "/questions/import",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, SetNotFound, ImportRefused, SetFull),
)
async def import_evaluation_questions(
    set_id: UUID, request: ImportRequest, session: WriteDb, caller: Writer
) -> ImportOut:
    """All of them or, when a line is wrong, none."""
    return await service.import_questions(session, caller, set_id, request)


@router.get(
    "/questions/export",
    response_class=Response,
    responses={
        200: {
            "description": "A file that can be imported again.",
            "content": {
                "application/jsonl": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        **responses(NotAllowed, SetNotFound),
    },
)
async def export_evaluation_questions(
    set_id: UUID,
    session: ReadDb,
    caller: Reader,
    format: ExportFormat = "jsonl",
    status: QuestionStatus | None = None,
) -> Response:
    content, media_type = await service.export_questions(session, set_id, status, format)
    name = f'attachment; filename="questions.{format}"'
    return Response(content, media_type=media_type, headers={"Content-Disposition": name})


@router.post("/questions/approve", responses=responses(NotAllowed, SetNotFound, QuestionNotFound))
async def approve_evaluation_questions(
    set_id: UUID, request: QuestionIds, session: WriteDb, caller: Writer, person: Person
) -> ChangedOut:
    """From now on they count. An API key cannot do this: somebody has read them."""
    return await service.set_status(session, set_id, request.ids, QuestionStatus.APPROVED)


@router.post("/questions/reject", responses=responses(NotAllowed, SetNotFound, QuestionNotFound))
async def reject_evaluation_questions(
    set_id: UUID, request: QuestionIds, session: WriteDb, caller: Writer
) -> ChangedOut:
    """They count no more, and are not generated again."""
    return await service.set_status(session, set_id, request.ids, QuestionStatus.REJECTED)


@router.get("/questions/{question_id}", responses=responses(NotAllowed, SetNotFound, QuestionNotFound))
async def get_evaluation_question(set_id: UUID, question_id: UUID, session: ReadDb, caller: Reader) -> QuestionOut:
    return await service.get_question(session, set_id, question_id)


@router.put(
    "/questions/{question_id}",
    responses=responses(NotAllowed, SetNotFound, QuestionNotFound, DocumentUnknown, QuestionTaken),
)
async def update_evaluation_question(
    set_id: UUID, question_id: UUID, request: QuestionIn, session: WriteDb, caller: Writer
) -> QuestionOut:
    """Its status stays: a draft is still to be approved."""
    return await service.edit(session, set_id, question_id, request)


@router.delete(
    "/questions/{question_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, SetNotFound, QuestionNotFound),
)
async def delete_evaluation_question(set_id: UUID, question_id: UUID, session: WriteDb, caller: Writer) -> None:
    """What earlier runs measured of it stays."""
    await service.delete(session, set_id, question_id)


@router.post(
    "/generate",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed, SetNotFound, KnowledgeBaseNotFound, ModelUnusable, NothingToAskAbout, SetFull, IdempotencyMismatch
    ),
)
async def generate_evaluation_questions(
    set_id: UUID,
    request: GenerateRequest,
    session: WriteDb,
    app: App,
    caller: Writer,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionSummary:
    """A model writes questions that passages of the documents answer: drafts, until a person approves them."""
    return await generating.start(session, caller, set_id, request, app.doorbell.ring, idempotency_key)
