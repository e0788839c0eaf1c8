"""A run: each approved question is asked in each mode, so many in each recorded step that a kill costs little.

What is to be measured is put down first, question by question, and stays the same whatever happens to the questions
afterwards. A result that is there is not measured again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from services.knowledge_base.evaluation import measurements, metrics
from services.knowledge_base.evaluation.documents import still_there
from services.knowledge_base.evaluation.finder import Finder, FoundDocument
from services.knowledge_base.evaluation.measurements import Measured
from shared.database.session import Scope
from shared.database.tables.evaluation import EvaluationResult, EvaluationRun
from shared.executions.jobs import JobContext, JobFailed
from shared.kit.json import Json, JsonObject
from shared.knowledge.errors import (
    EmbeddingModelGone,
    EmbeddingModelMissing,
    KnowledgeBaseNotFound,
    RerankModelNotFound,
    VectorStoreUnavailable,
)
from shared.knowledge.request import SearchMode
from shared.web.errors import AppError

_AT_ONCE = 20
_NDCG_DEPTH = 10
_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)
# Another question would fail alike.
_HOPELESS = (EmbeddingModelGone, EmbeddingModelMissing, KnowledgeBaseNotFound, RerankModelNotFound)
_GONE: JsonObject = {"gone": True}
_STAGE = "measure"


class Measurement:
    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._scope = Scope(context.tenant_id)
        self._run_id = UUID(context.spec["run_id"])
        self._warm: set[str] = set()

    async def run(self) -> Json:
        laid_out: Any = await self._context.step("questions", self._lay_out)
        if laid_out == _GONE:
            return _GONE
        total: int = laid_out["results"]
        self._context.progress(_STAGE, 0, total)
        for first in range(0, total, _AT_ONCE):
            output = await self._context.step(f"measure-{first}", partial(self._guarded, partial(self._measure, first)))
            if output == _GONE:
                return _GONE
            self._context.progress(_STAGE, min(first + _AT_ONCE, total), total)
        return await self._context.step("metrics", self._sum_up)

    async def _guarded(self, step: Callable[[], Awaitable[Json]]) -> Json:
        try:
            return await step()
        except AppError as error:
            raise JobFailed(error.code, error.text) from error

    async def _lay_out(self) -> Json:
        async with self._context.database.write(self._scope) as session:
            run = await measurements.lock_run(session, self._run_id)
            if run is None:
                return _GONE
            return {"results": await measurements.lay_out(session, run), "modes": list(run.modes)}

    async def _measure(self, first: int) -> Json:
        async with self._context.database.read(self._scope) as session:
            run = await session.get(EvaluationRun, self._run_id)
            rows = await measurements.get_open(session, self._run_id, first, _AT_ONCE)
            there = await still_there(session, [row.expected for row in rows])
        if run is None:
            return _GONE
        finder = Finder(self._context.resources, self._scope, run.knowledge_base_ids, run.rerank_model_id)
        done = [await self._result(finder, run, row, there) for row in rows]
        async with self._context.database.write(self._scope) as session:
            await measurements.put(session, self._run_id, done)
        return {"measured": len(done), "failed": sum(one.error is not None for one in done)}

    async def _result(self, finder: Finder, run: EvaluationRun, row: EvaluationResult, there: set[UUID]) -> Measured:
        """Documents that are gone cannot be found: what is left is what could be."""
        grades = {UUID(one["document_id"]): int(one["grade"]) for one in row.expected}
        grades = {document: grade for document, grade in grades.items() if document in there}
        key = (row.question_id, row.mode)
        if not any(grades.values()):
            return Measured(*key, error=measurements.UNANSWERABLE)
        depth = max(run.top_k, _NDCG_DEPTH)
        try:
            if row.mode not in self._warm:  # the first search of a process loads what the others find there
                await self._find(finder, row, depth)
                self._warm.add(row.mode)
            began = time.perf_counter()
            found = await self._find(finder, row, depth)
            latency = (time.perf_counter() - began) * 1000
        except (VectorStoreUnavailable, *_HOPELESS):
            raise
        except AppError as error:
            return Measured(*key, error={"code": error.code, "message": error.text})
        ranking = [one.document_id for one in found]
        return Measured(
            *key,
            found=[_as_json(one) for one in found],
            ndcg=metrics.ndcg(ranking, grades, _NDCG_DEPTH),
            recall=metrics.recall(ranking, grades, run.top_k),
            reciprocal_rank=metrics.reciprocal_rank(ranking, grades),
            rank=metrics.first_rank(ranking, grades),
            latency_ms=latency,
        )

    async def _find(self, finder: Finder, row: EvaluationResult, depth: int) -> list[FoundDocument]:
        mode = SearchMode(row.mode)
        for pause in _PAUSES:
            try:
                return await finder.find(row.question, mode, depth)
            except VectorStoreUnavailable:
                self._context.log("warning", "the vector store does not answer, trying again")
                await asyncio.sleep(pause)
        return await finder.find(row.question, mode, depth)

    async def _sum_up(self) -> Json:
        async with self._context.database.write(self._scope) as session:
            run = await measurements.lock_run(session, self._run_id)
            if run is None:
                return _GONE
            by_mode = {mode: await measurements.summary(session, run.id, mode) for mode in run.modes}
            measurements.finish(run, by_mode)
        return {"run_id": str(self._run_id), "metrics": by_mode}


def _as_json(found: FoundDocument) -> JsonObject:
    return {
        "document_id": str(found.document_id),
        "name": found.name,
        "chunk_id": str(found.chunk_id),
        "page": found.page,
        "score": found.score,
    }
