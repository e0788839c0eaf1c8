"""Running one step to its output: attempts, their deadline, the wait between them."""

import asyncio
from dataclasses import dataclass

from services.orchestration.engine.calls import AttemptCalls
from services.orchestration.engine.failures import Failure, failure_of, timed_out, unexpected
from services.orchestration.engine.journal import AttemptJournal, StepJournal
from services.orchestration.engine.plan import PlannedNode
from services.orchestration.engine.ports import CallFailed, StepAborted, StepFailed, StepRecord
from services.orchestration.engine.recorder import StepRecorder
from services.orchestration.engine.steps.base import CallingStep, StepContext
from shared.kit.json import Json, JsonObject

LONGEST_BACKOFF = 60.0
LONGEST_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class Succeeded:
    output: Json


@dataclass(frozen=True, slots=True)
class Failed:
    """For good: `record` is that of the last attempt."""

    record: StepRecord
    error: JsonObject


@dataclass(frozen=True, slots=True)
class Suspended:
    """It waits for something that is not there yet. `record` is that of the attempt, which goes on then."""

    record: StepRecord


Ended = Succeeded | Failed | Suspended


@dataclass(frozen=True, slots=True)
class StepRun:
    node: PlannedNode
    step: CallingStep
    told: JsonObject
    journal: StepJournal
    recorder: StepRecorder

    async def to_the_end(self, record: StepRecord) -> Ended:
        """Cancelled, it records nothing."""
        while True:
            outcome = await self._attempt(record)
            match outcome:
                case Suspended():
                    if not self.journal.news:
                        return Suspended(self.recorder.wait(record))
                    record = self.recorder.running[record.id]
                case Succeeded():
                    return outcome
                case Failure():
                    if not outcome.retryable or record.attempt >= self.node.attempts:
                        return Failed(record, outcome.error)
                    record = await self._before_next(record, outcome)

    async def _before_next(self, record: StepRecord, failure: Failure) -> StepRecord:
        wait = wait_before(self.node.backoff, record.attempt, failure.retry_after)
        record = self.recorder.retry(record, failure.error, fresh=failure.fresh, wait=wait)
        await asyncio.sleep(wait)
        self.recorder.resume(record, self.node.name)
        return record

    async def _attempt(self, record: StepRecord) -> Failure | Succeeded | Suspended:
        journal = self.journal.attempt(record)
        try:
            outcome = await self._within_deadline(journal)
        finally:
            journal.close()
        if journal.aborted is not None:
            return failure_of(journal.aborted, journal, self.node.id)
        # Whatever came of it: what else went on in the step was only stopped.
        return outcome if journal.suspended is None else Suspended(record)

    async def _within_deadline(self, journal: AttemptJournal) -> Failure | Succeeded:
        shared = journal.context
        context = StepContext(self.node.name, AttemptCalls(journal), shared.outside.agents, shared.snapshot)
        deadline = asyncio.timeout(self.node.timeout)
        try:
            async with deadline:
                return Succeeded(await self.step.run(self.told, context))
        except (CallFailed, StepFailed, StepAborted) as error:
            return failure_of(error, journal, self.node.id)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            return unexpected(error, self.node.id)
        except BaseExceptionGroup as group:
            if group.split((Exception, StepAborted))[1] is not None:
                raise
            return failure_of(group, journal, self.node.id)
        except Exception as error:  # noqa: BLE001  # whatever a library raises ends this attempt, not the worker
            if deadline.expired():
                return timed_out(self.node.timeout or 0.0, self.node.id)
            return unexpected(error, self.node.id)


def _is_cancelled() -> bool:
    """Whether somebody cancelled this step, rather than a library cancelling itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def wait_before(backoff: float, attempt: int, retry_after: float) -> float:
    """Seconds between the failed attempt and the next: doubling, and as long as the other side asks for."""
    doubled = min(backoff * 2 ** (attempt - 1), LONGEST_BACKOFF)
    return max(doubled, min(retry_after, LONGEST_RETRY_AFTER))
