from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status

from services.knowledge_base.evaluation.access import Reader, Writer
from services.knowledge_base.evaluation.errors import (
    ModelUnusable,
    NothingToMeasure,
    RunNotComparable,
    RunNotFound,
    SetNotFound,
)
from services.knowledge_base.evaluation.runs import service
from services.knowledge_base.evaluation.runs.schemas import Outcome, ResultOut, RunDetail, RunOut, RunRequest
from shared.auth.errors import NotAllowed
from shared.executions.errors import IdempotencyMismatch
from shared.executions.submit import IdempotencyKey
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.knowledge.request import SearchMode
from shared.web.dependencies import App, ReadDb, WriteDb
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(tags=["evaluation"])

TextPart = Annotated[str | None, Query(alias="q", max_length=200, description="A part of the question.")]
CompareTo = Annotated[UUID | None, Query(description="Another run of the set; none: the one before.")]


@router.get("/evaluation-sets/{set_id}/runs", responses=responses(NotAllowed, SetNotFound))
async def list_evaluation_runs(
    set_id: UUID, session: ReadDb, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[RunOut]:
    """Newest first."""
    return await service.list_runs(session, set_id, limit=limit, cursor=cursor)


@router.post(
    "/evaluation-sets/{set_id}/runs",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        NotAllowed, SetNotFound, KnowledgeBaseNotFound, NothingToMeasure, ModelUnusable, IdempotencyMismatch
    ),
)
async def start_evaluation_run(
    set_id: UUID,
    request: RunRequest,
    session: WriteDb,
    app: App,
    caller: Writer,
    idempotency_key: IdempotencyKey = None,
) -> RunOut:
    """Asks every approved question in every mode, by an execution: watch and cancel that."""
    return await service.start(session, caller, set_id, request, app.doorbell.ring, idempotency_key)


@router.get("/evaluation-runs/{run_id}", responses=responses(NotAllowed, RunNotFound, RunNotComparable))
async def get_evaluation_run(run_id: UUID, session: ReadDb, caller: Reader, compare_to: CompareTo = None) -> RunDetail:
    return await service.get_run(session, run_id, compare_to)


@router.get("/evaluation-runs/{run_id}/results", responses=responses(NotAllowed, RunNotFound))
async def list_evaluation_results(
    run_id: UUID,
    session: ReadDb,
    caller: Reader,
    mode: SearchMode | None = None,
    outcome: Outcome | None = None,
    q: TextPart = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ResultOut]:
    """Question by question; with `outcome=missed` those that fail."""
    return await service.list_results(session, run_id, mode=mode, outcome=outcome, text=q, limit=limit, cursor=cursor)
