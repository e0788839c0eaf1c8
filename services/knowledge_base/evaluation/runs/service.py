from typing import Any
from uuid import UUID

from sqlalchemy import exists, select

from services.knowledge_base.evaluation.actions import MEASURE
from services.knowledge_base.evaluation.documents import still_there
from services.knowledge_base.evaluation.errors import ModelUnusable, NothingToMeasure, RunNotComparable, RunNotFound
from services.knowledge_base.evaluation.questions.schemas import QuestionStatus
from services.knowledge_base.evaluation.questions.service import expected_out
from services.knowledge_base.evaluation.runs import repository
from services.knowledge_base.evaluation.runs.repository import Common, RunView
from services.knowledge_base.evaluation.runs.schemas import (
    Comparison,
    FoundOut,
    ModeChange,
    ModeMetrics,
    Outcome,
    QuestionChange,
    ResultOut,
    RunDetail,
    RunOut,
    RunRequest,
)
from services.knowledge_base.evaluation.sets.service import require_set
from services.knowledge_base.work import submit_work
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.evaluation import EvaluationQuestion, EvaluationResult, EvaluationRun
from shared.database.tables.models import Model
from shared.executions.schemas import Failure
from shared.executions.submit import Ring, find_submitted
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.knowledge.request import SearchMode
from shared.knowledge.search import require_knowledge_bases
from shared.llm.settings import ModelKind
from shared.web.pagination import Page, decode_cursor, page
from shared.workflow.states import ExecutionKind, ExecutionStatus

_LATENCIES = ("latency_p50_ms", "latency_p95_ms")


async def start(
    session: WriteSession, caller: Principal, set_id: UUID, request: RunRequest, ring: Ring, key: str | None
) -> RunOut:
    asked: JsonObject = {"run": str(set_id), **request.model_dump(mode="json")}
    earlier = await find_submitted(session, key, ExecutionKind.EVALUATION, asked)
    if earlier is not None:
        return await _get(session, UUID(earlier.spec["run_id"]))
    found = await require_set(session, set_id)
    await require_knowledge_bases(session, found.knowledge_base_ids)
    await _require_questions(session, set_id)
    await _require_reranker(session, request.rerank_model_id)
    run = EvaluationRun(
        id=new_id(),
        tenant_id=caller.tenant_id,
        set_id=set_id,
        knowledge_base_ids=found.knowledge_base_ids,
        modes=[mode.value for mode in request.modes],
        top_k=request.top_k,
        rerank_model_id=request.rerank_model_id,
        created_by=caller.user_id,
    )
    execution = await submit_work(
        session,
        ring,
        tenant_id=caller.tenant_id,
        kind=ExecutionKind.EVALUATION,
        name=f"Evaluate {found.name}",
        spec={"action": MEASURE, "set_id": str(set_id), "run_id": str(run.id)},
        created_by=caller.user_id,
        key=key,
        request=asked,
    )
    if execution.spec["run_id"] != str(run.id):  # the same request came a moment earlier
        return await _get(session, UUID(execution.spec["run_id"]))
    run.execution_id = execution.id
    session.add(run)
    await session.flush()
    return await _get(session, run.id)


async def list_runs(session: ReadSession, set_id: UUID, *, limit: int, cursor: str | None) -> Page[RunOut]:
    await require_set(session, set_id)
    before = decode_cursor(cursor, UUID)[0] if cursor else None
    views = await repository.list_runs(session, set_id, before=before, limit=limit + 1)
    counts = await repository.count_results(session, [view.run.id for view in views])
    return page(
        views,
        limit,
        lambda view: RunOut(**_fields(view, counts.get(view.run.id, (0, 0)))),
        lambda view: (view.run.id,),
    )


async def get_run(session: ReadSession, run_id: UUID, compare_to: UUID | None) -> RunDetail:
    view = await _require(session, run_id)
    counts = await repository.count_results(session, [run_id])
    other = await _other(session, view.run, compare_to)
    compared = None if other is None else await _compare(session, view.run, other)
    return RunDetail(**_fields(view, counts.get(run_id, (0, 0))), compared=compared)


async def list_results(
    session: ReadSession,
    run_id: UUID,
    *,
    mode: SearchMode | None,
    outcome: Outcome | None,
    text: str | None,
    limit: int,
    cursor: str | None,
) -> Page[ResultOut]:
    await _require(session, run_id)
    after = decode_cursor(cursor, int)[0] if cursor else -1
    rows = await repository.list_results(
        session, run_id, mode=mode, outcome=outcome, text=text, after=after, limit=limit + 1
    )
    there = await still_there(session, [[*row.expected, *(row.found or ())] for row in rows])
    return page(rows, limit, lambda row: _result(row, there), lambda row: (row.ordinal,))


async def _get(session: ReadSession, run_id: UUID) -> RunOut:
    counts = await repository.count_results(session, [run_id])
    return RunOut(**_fields(await _require(session, run_id), counts.get(run_id, (0, 0))))


async def _require(session: ReadSession, run_id: UUID) -> RunView:
    view = await repository.get_run(session, run_id)
    if view is None:
        raise RunNotFound
    return view


async def _require_questions(session: ReadSession, set_id: UUID) -> None:
    approved = select(EvaluationQuestion.id).where(
        EvaluationQuestion.set_id == set_id, EvaluationQuestion.status == QuestionStatus.APPROVED.value
    )
    if not await session.scalar(select(exists(approved))):
        raise NothingToMeasure


async def _require_reranker(session: ReadSession, model_id: UUID | None) -> None:
    """A chat model can rank too."""
    usable = (ModelKind.RERANK.value, ModelKind.CHAT.value)
    statement = select(Model.id).where(Model.id == model_id, Model.kind.in_(usable))
    if model_id is not None and await session.scalar(statement) is None:
        raise ModelUnusable("There is no such model that can rank.")


async def _other(session: ReadSession, run: EvaluationRun, compare_to: UUID | None) -> EvaluationRun | None:
    if compare_to is None:
        return None if run.finished_at is None else await repository.finished_before(session, run)
    other = (await _require(session, compare_to)).run
    if run.finished_at is None or other.finished_at is None or other.set_id != run.set_id:
        raise RunNotComparable
    return other


async def _compare(session: ReadSession, run: EvaluationRun, other: EvaluationRun) -> Comparison:
    common = await repository.compare(session, run.id, other.id)
    return Comparison(
        run_id=other.id,
        created_at=other.created_at,
        top_k=other.top_k,
        modes=[_mode_change(mode, common[mode], run, other) for mode in run.modes if mode in common],
        questions=[QuestionChange(**change) for change in await repository.list_changes(session, run.id, other.id)],
    )


def _rounded(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)


def _mode_change(mode: str, common: Common, run: EvaluationRun, other: EvaluationRun) -> ModeChange:
    these, those = (run.metrics or {}).get(mode, {}), (other.metrics or {}).get(mode, {})
    latencies = {name: _rounded(_difference(these.get(name), those.get(name))) for name in _LATENCIES}
    return ModeChange(
        mode=SearchMode(mode),
        questions=common.questions,
        better=common.better,
        worse=common.worse,
        ndcg_10=common.ndcg,
        recall=common.recall,
        mrr=common.reciprocal_rank,
        **latencies,
    )


def _difference(this: float | None, other: float | None) -> float | None:
    return None if this is None or other is None else this - other


def _fields(view: RunView, counts: tuple[int, int]) -> dict[str, Any]:
    run = view.run
    error = view.execution_error
    return {
        "id": run.id,
        "set_id": run.set_id,
        "knowledge_base_ids": run.knowledge_base_ids,
        "modes": run.modes,
        "top_k": run.top_k,
        "rerank_model_id": run.rerank_model_id,
        "execution_id": run.execution_id,
        "status": _status(view),
        "error": None if error is None else Failure(code=str(error.get("code")), message=str(error.get("message"))),
        "total": counts[0],
        "measured": counts[1],
        "metrics": [ModeMetrics(mode=SearchMode(mode), **run.metrics[mode]) for mode in run.modes]
        if run.metrics
        else [],
        "created_by": run.created_by,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }


def _status(view: RunView) -> ExecutionStatus:
    """Executions are kept for a while only; what they measured stays."""
    if view.execution_status is not None:
        return ExecutionStatus(view.execution_status)
    return ExecutionStatus.FAILED if view.run.finished_at is None else ExecutionStatus.SUCCEEDED


def _result(row: EvaluationResult, there: set[UUID]) -> ResultOut:
    grades = {one["document_id"]: one["grade"] for one in row.expected}
    found = [
        FoundOut(rank=rank, grade=grades.get(one["document_id"]), deleted=UUID(one["document_id"]) not in there, **one)
        for rank, one in enumerate(row.found or (), start=1)
    ]
    return ResultOut(
        question_id=row.question_id,
        question=row.question,
        mode=SearchMode(row.mode),
        outcome=repository.outcome_of(row),
        expected=expected_out(row.expected, there),
        found=found,
        ndcg_10=row.ndcg,
        recall=row.recall,
        reciprocal_rank=row.reciprocal_rank,
        rank=row.rank,
        latency_ms=_rounded(row.latency_ms),
        error=None if row.error is None else Failure.model_validate(row.error),
    )
