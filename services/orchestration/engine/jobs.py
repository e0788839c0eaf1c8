"""Executions without a graph: a coroutine whose named steps are recorded, so that a resumed job repeats none."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from uuid import UUID

from services.orchestration.engine.context import ExecutionContext
from services.orchestration.engine.ending import Ending, Reason
from services.orchestration.engine.failures import error_object, unexpected
from services.orchestration.engine.job_calls import JobCalls
from services.orchestration.engine.journal import AttemptJournal, StepJournal
from services.orchestration.engine.ports import (
    CallFailed,
    CallRecord,
    ExecutionState,
    ModelReply,
    ModelRequest,
    StepAborted,
    StepFailed,
    StepRecord,
    StepStatus,
    WaitRecord,
)
from services.orchestration.engine.recorder import StepRecorder
from shared.kit.json import Json, JsonObject

STEP_TYPE = "job"

# Of the step that the running code belongs to.
_step_calls: ContextVar[JobCalls] = ContextVar("quarterdeck_job_calls")


class JobSteps:
    """What a job is handed: what it was submitted with, and the way to make its work durable."""

    def __init__(self, state: ExecutionState, context: ExecutionContext, recorder: StepRecorder) -> None:
        self.execution_id: UUID = state.id
        self.tenant_id: UUID = state.tenant_id
        self.spec: JsonObject = state.spec
        self.inputs: JsonObject = state.inputs
        self._context = context
        self._recorder = recorder
        self._recorded = {record.node: record for record in state.steps}
        self._calls: defaultdict[UUID, list[CallRecord]] = defaultdict(list)
        for call in state.calls:
            self._calls[call.step_id].append(call)
        self._seen: set[str] = set()

    async def step(self, name: str, run: Callable[[], Awaitable[Json]]) -> Json:
        """Runs it, or answers what is on record of it. A step that failed raises `StepFailed`, then and on replay.

        `name` tells the steps of a job apart: it is given once, and is the same whenever the job is run again.
        """
        if name in self._seen:
            raise ValueError(f"two steps of this job are named {name!r}")
        self._seen.add(name)
        record = self._recorded.pop(name, None)
        if record is not None and record.status is StepStatus.SUCCEEDED:
            return record.output
        if record is not None and record.status is StepStatus.FAILED:
            raise _read_failure(record)
        if record is None:
            record = self._recorder.start(name, STEP_TYPE, name, None)
        else:
            self._recorder.resume(record, name)
        # As with calls: nothing more is done before what was done is durable.
        await self._recorder.settle()
        return await self._run(record, run)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """A model's answer, or what is on record of it. Raises `CallFailed`."""
        return await self._of_step().complete(request)

    async def embed(self, model_id: UUID, texts: Sequence[str]) -> list[list[float]]:
        """Raises `CallFailed`."""
        return await self._of_step().embed(model_id, texts)

    def _of_step(self) -> JobCalls:
        calls = _step_calls.get(None)
        if calls is None:
            raise RuntimeError("a job asks models within its steps: their calls are on record there")
        return calls

    def log(self, level: str, message: str, **data: Json) -> None:
        self._recorder.log(level, message, data)

    def progress(self, stage: str, finished: int, total: int) -> None:
        """How far a stage has come; a line of the log that a program can read."""
        self._recorder.log("info", stage, {"progress": {"stage": stage, "done": finished, "total": total}})

    async def _run(self, record: StepRecord, run: Callable[[], Awaitable[Json]]) -> Json:
        journal = StepJournal(self._context, self._recorder, record.node, self._calls.pop(record.id, ())).attempt(
            record
        )
        calls = JobCalls(journal)
        token = _step_calls.set(calls)
        try:
            output = await run()
        except Exception as error:  # recorded, and raised as the one kind that a replay raises too
            failure = _failure(error, record.node)
            told = error_object(
                failure.code, failure.message, record.node, retryable=failure.retryable, details=failure.details
            )
            if (key := _call_behind(error, journal)) is not None:
                told["call"] = key
            self._recorder.fail(record, told)
            raise failure from error
        finally:
            _step_calls.reset(token)
            journal.close()
        calls.done()
        self._recorder.succeed(record, output)
        return output


JobHandler = Callable[[JobSteps], Awaitable[Json]]


class JobRun:
    def __init__(
        self, handler: JobHandler, state: ExecutionState, context: ExecutionContext, recorder: StepRecorder
    ) -> None:
        self._handler = handler
        self._steps = JobSteps(state, context, recorder)
        self._signal = context.signal
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def woken(self, waits: Sequence[WaitRecord]) -> None:
        """A job waits for nothing."""

    def stop(self) -> set[asyncio.Task[None]]:
        if self._task is None or self._task.done():
            return set()
        if not self._stopped:
            self._stopped = True
            self._task.cancel()
        return {self._task}

    async def _run(self) -> None:
        try:
            self._signal.end(Ending(Reason.DONE, output=await self._handler(self._steps)))
        except asyncio.CancelledError as error:
            if self._signal.ending is None:  # a library cancelled the task that it was called in
                self._signal.end(Ending(Reason.FAILED, error=unexpected(error, "job").error))
            raise
        except (Exception, StepAborted) as error:  # noqa: BLE001  # whatever a job raises is how it failed
            if self._signal.ending is not None:
                return
            failure = _failure(error, "job")
            told = error_object(failure.code, failure.message, retryable=failure.retryable, details=failure.details)
            self._signal.end(Ending(Reason.FAILED, error=told))


def _call_behind(error: BaseException, journal: AttemptJournal) -> str | None:
    """The key of the call that failed, if that is why the step did: a retry makes that one again, and no other."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CallFailed):
            return journal.key_of(cause)
        cause = cause.__cause__
    return None


def _failure(error: BaseException, node: str) -> StepFailed:
    match error:
        case StepFailed():
            return error
        case CallFailed():
            details = {**error.details, "source": error.source}
            return StepFailed(error.message, code=error.code, retryable=error.retryable, details=details)
        case _:
            told = unexpected(error, node).error
            return StepFailed(told["message"], code=told["code"])


def _read_failure(record: StepRecord) -> StepFailed:
    error = record.error or {}
    return StepFailed(
        error.get("message", "the step failed"),
        code=error.get("code", "internal_error"),
        retryable=error.get("retryable", False),
        details=error.get("details"),
    )
