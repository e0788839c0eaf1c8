"""Jobs of `shared/executions/jobs.py`, as the engine runs them."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from services.orchestration.adapters.models import chat_reply, model_request
from services.orchestration.engine.jobs import JobHandler, JobSteps
from services.orchestration.engine.ports import CallFailed, StepFailed
from shared.database.away import outlast
from shared.database.session import Database, Scope
from shared.executions.jobs import Job, JobFailed, LogLevel, all_jobs
from shared.kit.json import Json, JsonObject
from shared.llm.types import ChatReply, ChatRequest
from shared.web.resources import Resources

T = TypeVar("T")

_PROGRESS_INTERVAL = 0.25


def job_handlers(resources: Resources) -> dict[str, JobHandler]:
    """The handlers of all jobs that are registered by now."""
    return {kind: _handler(job, resources) for kind, job in all_jobs().items()}


def _handler(job: Job, resources: Resources) -> JobHandler:
    async def run(steps: JobSteps) -> Json:
        try:
            return await job(EngineJobContext(steps, resources))
        except JobFailed as failure:
            raise _as_step_failure(failure) from failure

    return run


class EngineJobContext:
    """Implements `JobContext`."""

    def __init__(self, steps: JobSteps, resources: Resources) -> None:
        self.execution_id: UUID = steps.execution_id
        self.tenant_id: UUID = steps.tenant_id
        self.inputs: JsonObject = steps.inputs
        self.spec: JsonObject = steps.spec
        self.database: Database = resources.database
        self.resources = resources
        self._steps = steps
        self._told: dict[str, float] = {}

    async def step(self, name: str, run: Callable[[], Awaitable[Json]]) -> Json:
        async def translated() -> Json:
            try:
                return await outlast(run)
            except JobFailed as failure:
                raise _as_step_failure(failure) from failure

        try:
            return await self._steps.step(name, translated)
        except StepFailed as failure:
            raise JobFailed(failure.code, failure.message, failure.details) from failure

    async def embed(self, model_id: UUID | None, texts: Sequence[str]) -> list[list[float]]:
        if model_id is None:
            embedder = await self.resources.embedders.of(Scope(self.tenant_id), None)
            return (await embedder.embed(texts)).vectors
        return await _asked(self._steps.embed(model_id, texts))

    async def complete(self, model_id: UUID, request: ChatRequest) -> ChatReply:
        return chat_reply(await _asked(self._steps.complete(model_request(model_id, request))))

    def log(self, level: LogLevel, message: str, **data: Any) -> None:
        self._steps.log(level, message, **data)

    def progress(self, stage: str, done: int, total: int) -> None:
        """The first and the last of a stage are always told, those between a few times a second."""
        now = time.monotonic()
        if done < total and now - self._told.get(stage, -_PROGRESS_INTERVAL) < _PROGRESS_INTERVAL:
            return
        self._told[stage] = now
        self._steps.progress(stage, done, total)


async def _asked(call: Awaitable[T]) -> T:
    try:
        return await call
    except CallFailed as failure:
        details: JsonObject = {**failure.details, "source": failure.source}
        raise JobFailed(failure.code, failure.message, details) from failure


def _as_step_failure(failure: JobFailed) -> StepFailed:
    return StepFailed(failure.message, code=failure.code, retryable=False, details=failure.details)
