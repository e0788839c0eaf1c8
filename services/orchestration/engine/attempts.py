"""Running one step to its output: attempts, their deadline, the wait between them."""

import asyncio
from dataclasses import dataclass

from services.orchestration.engine.failures import Failure, failure_of, timed_out, unexpected
from services.orchestration.engine.journal import AttemptCalls, StepJournal
from services.orchestration.engine.plan import PlannedNode
from services.orchestration.engine.ports import CallFailed, StepAborted, StepFailed, StepRecord
from services.orchestration.engine.recorder import StepRecorder
from services.orchestration.engine.snapshot import Snapshot
from services.orchestration.engine.steps.base import CallingStep, StepContext
from shared.kit.json import Json, JsonObject

LONGEST_BACKOFF = 60.0
LONGEST_RETRY_AFTER = 300.0


class AttemptsExhausted(Exception):
    """The step failed for good. `record` is that of the last attempt."""

    def __init__(self, record: StepRecord, error: JsonObject) -> None:
        super().__init__(error["message"])
        self.record = record
        self.error = error


@dataclass(frozen=True, slots=True)
class StepRun:
    node: PlannedNode
    step: CallingStep
    told: JsonObject
    journal: StepJournal
    recorder: StepRecorder
    snapshot: Snapshot

    async def to_the_end(self, record: StepRecord) -> tuple[StepRecord, Json]:
        """The last attempt's record and the output. Raises `AttemptsExhausted`; cancelled, it records nothing."""
        while True:
            outcome = await self._attempt(record)
            if not isinstance(outcome, Failure):
                return record, outcome.output
            if not outcome.retryable or record.attempt >= self.node.attempts:
                raise AttemptsExhausted(record, outcome.error)
            wait = wait_before(self.node.backoff, record.attempt, outcome.retry_after)
            record = self.recorder.retry(record, outcome.error, fresh=outcome.fresh, wait=wait)
            await asyncio.sleep(wait)
            self.recorder.resume(record, self.node.name)

    async def _attempt(self, record: StepRecord) -> "Failure | _Success":
        calls = self.journal.attempt(record)
        try:
            return await self._within_deadline(calls)
        finally:
            calls.close()

    async def _within_deadline(self, calls: AttemptCalls) -> "Failure | _Success":
        context = StepContext(self.node.name, calls, self.journal.context.outside.agents, self.snapshot)
        deadline = asyncio.timeout(self.node.timeout)
        try:
            async with deadline:
                output = await self.step.run(self.told, context)
        except (CallFailed, StepFailed, StepAborted) as error:
            return failure_of(calls.aborted or error, calls, self.node.id)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            return unexpected(error, self.node.id)
        except Exception as error:  # noqa: BLE001  # whatever a library raises ends this attempt, not the worker
            if deadline.expired():
                return timed_out(self.node.timeout or 0.0, self.node.id)
            return unexpected(error, self.node.id)
        if calls.aborted is not None:
            return failure_of(calls.aborted, calls, self.node.id)
        return _Success(output)


@dataclass(frozen=True, slots=True)
class _Success:
    output: Json


def _is_cancelled() -> bool:
    """Whether somebody cancelled this step, rather than a library cancelling itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def wait_before(backoff: float, attempt: int, retry_after: float) -> float:
    """Seconds between the failed attempt and the next: doubling, and as long as the other side asks for."""
    doubled = min(backoff * 2 ** (attempt - 1), LONGEST_BACKOFF)
    return max(doubled, min(retry_after, LONGEST_RETRY_AFTER))
