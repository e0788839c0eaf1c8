"""Steps' states, as they become records and lines of the stream."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.orchestration.engine import events
from services.orchestration.engine.ports import StepRecord, StepStatus
from services.orchestration.engine.writer import LedgerWriter
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject


class StepRecorder:
    """`running` are the steps that were started and have not ended, those of an earlier worker included."""

    def __init__(self, writer: LedgerWriter) -> None:
        self._writer = writer
        self.running: dict[UUID, StepRecord] = {}
        self._fatal: StepRecord | None = None

    def start(self, node: str, type_: str, name: str, told: Json) -> StepRecord:
        now = utcnow()
        record = _first(node, type_, StepStatus.RUNNING, input=told, started_at=now)
        self.running[record.id] = record
        self._writer.post(steps=(record,), events=(events.step_started(record, name, now),))
        return record

    def resume(self, record: StepRecord, name: str) -> None:
        """The step is run again, by this worker or in a further attempt; its record stands."""
        self.running[record.id] = record
        self._writer.post(events=(events.step_started(record, name, utcnow()),))

    def retry(self, record: StepRecord, error: JsonObject, *, fresh: bool, wait: float) -> StepRecord:
        """The next attempt's record. It has the error of the last one, so that a replay knows what ended it."""
        following = replace(
            record, attempt=record.attempt + 1, generation=record.generation + (1 if fresh else 0), error=error
        )
        self.running[record.id] = following
        message = f"attempt {record.attempt} failed, the next follows in {wait:g} s: {error['message']}"
        line = events.log("warning", message, {"error": error}, events.reference(record))
        self._writer.post(steps=(following,), events=(line,))
        return following

    def succeed(self, record: StepRecord, output: Json) -> None:
        self._end(record, StepStatus.SUCCEEDED, output, None)

    def fail(self, record: StepRecord, error: JsonObject) -> None:
        self._end(record, StepStatus.FAILED, None, error)

    def fail_at_the_end(self, record: StepRecord, error: JsonObject) -> None:
        """The failure that ends the execution: it becomes true together with the end, or not at all."""
        del self.running[record.id]
        self._fatal = replace(record, status=StepStatus.FAILED, error=error, finished_at=utcnow())

    def close(self) -> None:
        """The execution ends: what failed it is told, and whatever still runs is cancelled."""
        if self._fatal is not None:
            self._writer.post(steps=(self._fatal,), events=(events.step_finished(self._fatal),))
        for record in list(self.running.values()):
            self._end(record, StepStatus.CANCELLED, None, None)

    def run_at_once(self, node: str, type_: str, name: str, output: Json) -> None:
        """A step that began and ended in one."""
        now = utcnow()
        record = _first(node, type_, StepStatus.SUCCEEDED, output=output, started_at=now, finished_at=now)
        lines = (events.step_started(record, name, now), events.step_finished(record))
        self._writer.post(steps=(record,), events=lines)

    def skip(self, node: str, type_: str) -> None:
        now = utcnow()
        record = _first(node, type_, StepStatus.SKIPPED, finished_at=now)
        self._writer.post(steps=(record,), events=(events.step_skipped(record, now),))

    async def settle(self) -> None:
        """Returns when all that was recorded is durable. Raises `StepStopped` if it will not be."""
        await self._writer.barrier()

    def log(self, level: str, message: str, data: JsonObject) -> None:
        """A line of the execution, of no step."""
        self._writer.post(events=(events.log(level, message, data, None),))

    def _end(self, record: StepRecord, status: StepStatus, output: Json, error: JsonObject | None) -> None:
        ended = replace(record, status=status, output=output, error=error, finished_at=utcnow())
        del self.running[record.id]
        self._writer.post(steps=(ended,), events=(events.step_finished(ended),))


def _first(
    node: str,
    type_: str,
    status: StepStatus,
    *,
    input: Json = None,
    output: Json = None,
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> StepRecord:
    """The record of a node's first attempt."""
    return StepRecord(
        id=new_id(),
        node=node,
        type=type_,
        path="",
        attempt=1,
        generation=1,
        status=status,
        input=input,
        output=output,
        started_at=started_at,
        finished_at=finished_at,
    )
