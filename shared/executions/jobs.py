"""Executions that are not graphs: one function does the work, in recorded steps.

    @job(ExecutionKind.INGESTION)
    async def ingest(context: JobContext) -> Json:
        text = await context.step("extract", lambda: extract(context.spec["document_id"]))

A worker runs the jobs of the modules it was told to load.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from shared.database.session import Database
from shared.kit.json import Json, JsonObject
from shared.llm.types import ChatReply, ChatRequest
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind

LogLevel = Literal["debug", "info", "warning", "error"]


class JobContext(Protocol):
    """What a job may use. It is cancelled like any coroutine; a job that is run again gets its recorded steps."""

    execution_id: UUID
    tenant_id: UUID
    inputs: JsonObject
    spec: JsonObject
    database: Database
    resources: Resources

    async def step(self, name: str, run: Callable[[], Awaitable[Json]]) -> Json:
        """The result of `run`, recorded under `name`. On replay it is the record, and `run` is not called.

        `run` may be called again when the worker died before its result was recorded: it must be repeatable.
        Names are unique within the job and the same on replay.
        """
        ...

    async def embed(self, model_id: UUID | None, texts: Sequence[str]) -> list[list[float]]:
        """A vector of unit length for each text, by the tenant's embedding model; None is the built-in one, which costs
        nothing and leaves no record.

        Within a step. The call is on record with what it cost before the vectors come back. The vectors themselves
        stay there only until the step has asked for others eight times, or has succeeded: keep them, a batch at a
        time. A step that is run again and asks for the same texts gets them from the record, or pays once more if it
        has lost what it was given long ago. Up to eight may be asked for side by side; some hundred texts at a time.
        Raises `JobFailed` with the provider's code, or `budget_exceeded`.
        """
        ...

    async def complete(self, model_id: UUID, request: ChatRequest) -> ChatReply:
        """A chat model's answer. Within a step. On replay it is the record, and nothing is paid: the n-th time a step
        asks the same, it gets the n-th record. Tools are not offered. Raises `JobFailed` as `embed` does."""
        ...

    def log(self, level: LogLevel, message: str, **data: Any) -> None:
        """A line on the execution's stream."""
        ...

    def progress(self, stage: str, done: int, total: int) -> None:
        """How far a stage has come. May be called often: watchers are told a few times a second."""
        ...


class JobFailed(Exception):
    """The job cannot be done, for a reason that belongs to its input: the execution fails with this error."""

    def __init__(self, code: str, message: str, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: JsonObject = details or {}


Job = Callable[[JobContext], Awaitable[Json]]
J = TypeVar("J", bound=Job)

_jobs: dict[str, Job] = {}


def job(kind: ExecutionKind | str) -> Callable[[J], J]:
    """Makes the function what runs executions of this kind."""

    def register(function: J) -> J:
        known = _jobs.setdefault(kind, function)
        if known is not function:
            raise ValueError(f"two jobs for executions of kind {kind!r}: {known!r} and {function!r}")
        return function

    return register


def all_jobs() -> dict[str, Job]:
    """By kind, of the modules that were loaded."""
    return dict(_jobs)
