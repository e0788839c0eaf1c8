from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import aliased

from services.knowledge_base.evaluation.runs.schemas import Outcome
from shared.database.session import ReadSession
from shared.database.tables.evaluation import EvaluationResult, EvaluationRun
from shared.database.tables.ledger import ExecutionRow
from shared.kit.json import JsonObject

# What floating point alone makes of equal figures.
_EQUAL = 1e-9
_MOST_CHANGES = 100


@dataclass(frozen=True, slots=True)
class RunView:
    run: EvaluationRun
    execution_status: str | None
    execution_error: JsonObject | None


@dataclass(frozen=True, slots=True)
class Common:
    """Of one mode, over the questions that both runs have measured: means of this run less those of the other."""

    questions: int
    better: int
    worse: int
    ndcg: float
    recall: float
    reciprocal_rank: float


_Views = Select[EvaluationRun, str | None, JsonObject | None]


def _views() -> _Views:
    statement = select(EvaluationRun, ExecutionRow.status, ExecutionRow.error)
    return cast(_Views, statement.outerjoin(ExecutionRow, ExecutionRow.id == EvaluationRun.execution_id))


async def list_runs(session: ReadSession, set_id: UUID, *, before: UUID | None, limit: int) -> list[RunView]:
    statement = _views().where(EvaluationRun.set_id == set_id).order_by(EvaluationRun.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(EvaluationRun.id < before)
    return [RunView(*row) for row in await session.execute(statement)]


async def get_run(session: ReadSession, run_id: UUID) -> RunView | None:
    row = (await session.execute(_views().where(EvaluationRun.id == run_id))).one_or_none()
    return None if row is None else RunView(*row)


async def finished_before(session: ReadSession, run: EvaluationRun) -> EvaluationRun | None:
    statement = (
        select(EvaluationRun)
        .where(EvaluationRun.set_id == run.set_id, EvaluationRun.id < run.id, EvaluationRun.finished_at.is_not(None))
        .order_by(EvaluationRun.id.desc())
    )
    return await session.scalar(statement.limit(1))


async def count_results(session: ReadSession, run_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """Of each run, how many results there will be, and how many there are."""
    statement = (
        select(EvaluationResult.run_id, func.count(), func.count(EvaluationResult.measured_at))
        .where(EvaluationResult.run_id.in_(run_ids))
        .group_by(EvaluationResult.run_id)
    )
    return {run_id: (total, done) for run_id, total, done in await session.execute(statement)}


_OUTCOMES: dict[Outcome, ColumnElement[bool]] = {
    Outcome.OPEN: EvaluationResult.measured_at.is_(None),
    Outcome.FAILED: EvaluationResult.error.is_not(None),
    Outcome.MISSED: and_(EvaluationResult.ndcg.is_not(None), EvaluationResult.rank.is_(None)),
    Outcome.PARTIAL: and_(EvaluationResult.rank.is_not(None), EvaluationResult.ndcg < 1 - _EQUAL),
    Outcome.PERFECT: EvaluationResult.ndcg >= 1 - _EQUAL,
}


def outcome_of(row: EvaluationResult) -> Outcome:
    if row.measured_at is None:
        return Outcome.OPEN
    if row.ndcg is None:
        return Outcome.FAILED
    if row.ndcg >= 1 - _EQUAL:
        return Outcome.PERFECT
    return Outcome.MISSED if row.rank is None else Outcome.PARTIAL


async def list_results(
    session: ReadSession,
    run_id: UUID,
    *,
    mode: str | None,
    outcome: Outcome | None,
    text: str | None,
    after: int,
    limit: int,
) -> Sequence[EvaluationResult]:
    statement = select(EvaluationResult).where(EvaluationResult.run_id == run_id, EvaluationResult.ordinal > after)
    if mode is not None:
        statement = statement.where(EvaluationResult.mode == mode)
    if outcome is not None:
        statement = statement.where(_OUTCOMES[outcome])
    if text:
        statement = statement.where(EvaluationResult.question.icontains(text, autoescape=True))
    return (await session.scalars(statement.order_by(EvaluationResult.ordinal).limit(limit))).all()


async def compare(session: ReadSession, run_id: UUID, other_id: UUID) -> dict[str, Common]:
    this, other = aliased(EvaluationResult), aliased(EvaluationResult)
    difference = this.ndcg - other.ndcg
    statement = (
        select(
            this.mode,
            func.count(),
            func.count().filter(difference > _EQUAL),
            func.count().filter(difference < -_EQUAL),
            func.avg(difference),
            func.avg(this.recall - other.recall),
            func.avg(this.reciprocal_rank - other.reciprocal_rank),
        )
        .join(other, and_(other.question_id == this.question_id, other.mode == this.mode))
        .where(this.run_id == run_id, other.run_id == other_id, this.ndcg.is_not(None), other.ndcg.is_not(None))
        .group_by(this.mode)
    )
    return {row[0]: Common(*row[1:]) for row in await session.execute(statement)}


async def list_changes(session: ReadSession, run_id: UUID, other_id: UUID) -> list[dict[str, Any]]:
    this, other = aliased(EvaluationResult), aliased(EvaluationResult)
    difference = func.abs(this.ndcg - other.ndcg)
    statement = (
        select(
            this.question_id.label("question_id"),
            this.question.label("question"),
            this.mode.label("mode"),
            this.ndcg.label("ndcg_10"),
            other.ndcg.label("ndcg_10_before"),
            this.rank.label("rank"),
            other.rank.label("rank_before"),
        )
        .join(other, and_(other.question_id == this.question_id, other.mode == this.mode))
        .where(this.run_id == run_id, other.run_id == other_id, difference > _EQUAL)
        .order_by(difference.desc(), this.ordinal)
        .limit(_MOST_CHANGES)
    )
    return [dict(row) for row in (await session.execute(statement)).mappings()]
