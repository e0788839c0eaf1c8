from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from services.knowledge_base.evaluation.questions.schemas import ExpectedOut
from shared.executions.schemas import Failure
from shared.knowledge.request import SearchMode
from shared.web.schemas import RequestModel, ResponseModel, Timestamp
from shared.workflow.states import ExecutionStatus


def _each_once(modes: list[SearchMode]) -> list[SearchMode]:
    return list(dict.fromkeys(modes))


def _whole(value: object) -> object:
    return round(value) if isinstance(value, float) else value


Milliseconds = Annotated[int, BeforeValidator(_whole)]


class RunRequest(RequestModel):
    """`top_k`: how many documents recall looks at; nDCG always looks at ten."""

    modes: Annotated[list[SearchMode], Field(min_length=1), AfterValidator(_each_once)] = Field(
        default_factory=lambda: list(SearchMode)
    )
    top_k: Annotated[int, Field(ge=1, le=100)] = 10
    rerank_model_id: UUID | None = None


class ModeMetrics(ResponseModel):
    """Means over the questions that were measured; null without any. Two sorts do not count: `failed`, where the search
    did not answer, and `unanswerable`, where none of the expected documents is there any more."""

    mode: SearchMode
    questions: int
    failed: int
    unanswerable: int
    ndcg_10: float | None
    recall: float | None
    mrr: float | None
    latency_p50_ms: Milliseconds | None
    latency_p95_ms: Milliseconds | None


class RunOut(ResponseModel):
    """`measured` of `total` searches are done: each question in each mode. `metrics` are there when all are."""

    id: UUID
    set_id: UUID
    knowledge_base_ids: list[UUID]
    modes: list[SearchMode]
    top_k: int
    rerank_model_id: UUID | None
    execution_id: UUID | None
    status: ExecutionStatus
    error: Failure | None
    total: int
    measured: int
    metrics: list[ModeMetrics]
    created_by: UUID | None
    created_at: Timestamp
    finished_at: Timestamp | None


class ModeChange(ResponseModel):
    """This run less the other one, over the `questions` that both have measured in this mode. Latencies are those of
    all questions."""

    mode: SearchMode
    questions: int
    better: int
    worse: int
    ndcg_10: float | None
    recall: float | None
    mrr: float | None
    latency_p50_ms: Milliseconds | None
    latency_p95_ms: Milliseconds | None


class QuestionChange(ResponseModel):
    """A question that is answered better or worse than before. Ranks are of the first expected document; null: not
    found."""

    question_id: UUID
    question: str
    mode: SearchMode
    ndcg_10: float
    ndcg_10_before: float
    rank: int | None
    rank_before: int | None


class Comparison(ResponseModel):
    """`questions` are those that changed, most first, at most a hundred. Where `top_k` differs, so does what recall
    means."""

    run_id: UUID
    created_at: Timestamp
    top_k: int
    modes: list[ModeChange]
    questions: list[QuestionChange]


class RunDetail(RunOut):
    """`compared` with the run before it, if there is one, or with the one that was asked for."""

    compared: Comparison | None


class Outcome(StrEnum):
    PERFECT = "perfect"  # nDCG is 1
    PARTIAL = "partial"  # found, but not in the best order, or not all
    MISSED = "missed"
    FAILED = "failed"  # not measured: the search failed, or the expected documents are gone
    OPEN = "open"  # not measured yet


class FoundOut(ResponseModel):
    """A document by its best passage. `grade` is what was expected of it; null: it was not judged."""

    rank: int
    document_id: UUID
    name: str
    chunk_id: UUID
    page: int | None
    score: float
    grade: int | None
    deleted: bool


class ResultOut(ResponseModel):
    """One question in one mode. `rank` is that of the first expected document; null: not found."""

    question_id: UUID
    question: str
    mode: SearchMode
    outcome: Outcome
    expected: list[ExpectedOut]
    found: list[FoundOut]
    ndcg_10: float | None
    recall: float | None
    reciprocal_rank: float | None
    rank: int | None
    latency_ms: Milliseconds | None
    error: Failure | None
