"""What a run reads and writes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Table, bindparam, func, insert, select, update

from services.knowledge_base.evaluation import metrics
from services.knowledge_base.evaluation.questions.repository import list_questions
from services.knowledge_base.evaluation.questions.schemas import QuestionStatus
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.evaluation import EvaluationResult, EvaluationRun
from shared.kit.clock import utcnow
from shared.kit.json import JsonObject

UNANSWERABLE: JsonObject = {
    "code": "expected_documents_deleted",
    "message": "None of the expected documents is there any more.",
}


@dataclass(frozen=True, slots=True)
class Measured:
    question_id: UUID
    mode: str
    found: list[dict[str, Any]] | None = None
    ndcg: float | None = None
    recall: float | None = None
    reciprocal_rank: float | None = None
    rank: int | None = None
    latency_ms: float | None = None
    error: JsonObject | None = None


async def lock_run(session: WriteSession, run_id: UUID) -> EvaluationRun | None:
    return await session.scalar(select(EvaluationRun).where(EvaluationRun.id == run_id).with_for_update())


async def lay_out(session: WriteSession, run: EvaluationRun) -> int:
    """Puts down what is to be measured, once; gives how much that is. The modes of a question come one after the
    other, so that whatever else the machine does meanwhile slows all of them alike."""
    mine = select(func.count()).select_from(EvaluationResult).where(EvaluationResult.run_id == run.id)
    if there := await session.scalar(mine):
        return there
    questions = await list_questions(session, run.set_id, status=QuestionStatus.APPROVED)
    rows = [
        {
            "tenant_id": run.tenant_id,
            "run_id": run.id,
            "question_id": question.id,
            "mode": mode,
            "ordinal": place * len(run.modes) + offset,
            "question": question.text,
            "expected": question.expected,
        }
        for place, question in enumerate(questions)
        for offset, mode in enumerate(run.modes)
    ]
    if rows:
        await session.execute(insert(EvaluationResult), rows)
    return len(rows)


async def get_open(session: ReadSession, run_id: UUID, first: int, count: int) -> Sequence[EvaluationResult]:
    statement = select(EvaluationResult).where(
        EvaluationResult.run_id == run_id,
        EvaluationResult.ordinal.between(first, first + count - 1),
        EvaluationResult.measured_at.is_(None),
    )
    return (await session.scalars(statement.order_by(EvaluationResult.ordinal))).all()


async def put(session: WriteSession, run_id: UUID, done: Sequence[Measured]) -> None:
    if not done:
        return
    table = cast(Table, EvaluationResult.__table__)
    fields = [name for name in asdict(done[0]) if name not in ("question_id", "mode")]
    statement = update(table).where(
        table.c.run_id == run_id, table.c.question_id == bindparam("key"), table.c.mode == bindparam("in_mode")
    )
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in fields}
    await session.execute(
        statement.values(measured_at=utcnow(), **values),
        [
            {"key": one.question_id, "in_mode": one.mode, **{f"new_{name}": getattr(one, name) for name in fields}}
            for one in done
        ],
    )


async def summary(session: ReadSession, run_id: UUID, mode: str) -> JsonObject:
    """As `ModeMetrics` has it."""
    statement = select(
        EvaluationResult.ndcg,
        EvaluationResult.recall,
        EvaluationResult.reciprocal_rank,
        EvaluationResult.latency_ms,
        EvaluationResult.error,
    ).where(EvaluationResult.run_id == run_id, EvaluationResult.mode == mode)
    rows = (await session.execute(statement)).all()
    measured = [row for row in rows if row.ndcg is not None]
    unanswerable = sum(row.error is not None and row.error["code"] == UNANSWERABLE["code"] for row in rows)
    latencies = [row.latency_ms for row in measured]
    return {
        "questions": len(measured),
        "failed": len(rows) - len(measured) - unanswerable,
        "unanswerable": unanswerable,
        "ndcg_10": metrics.mean([row.ndcg for row in measured]),
        "recall": metrics.mean([row.recall for row in measured]),
        "mrr": metrics.mean([row.reciprocal_rank for row in measured]),
        "latency_p50_ms": metrics.percentile(latencies, 0.5),
        "latency_p95_ms": metrics.percentile(latencies, 0.95),
    }


def finish(run: EvaluationRun, by_mode: dict[str, JsonObject]) -> None:
    run.metrics = by_mode
    run.finished_at = utcnow()
