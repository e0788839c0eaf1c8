"""Steps' states, as they become records and lines of the stream."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.orchestration.engine import events
from services.orchestration.engine.ports import StepRecord, StepRef, StepStatus, WaitRecord, WaitStatus
from services.orchestration.engine.writer import LedgerWriter
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject


class StepRecorder:
    """`running` are the steps that were started and have not ended, those that wait and those of an earlier worker
    included."""

    def __init__(self, writer: LedgerWriter) -> None:
        self._writer = writer
        self.running: dict[UUID, StepRecord] = {}
        self._open_waits: dict[UUID, dict[UUID, WaitRecord]] = {}
        self._fatal: list[StepRecord] = []

    def take_over(self, steps: Iterable[StepRecord], waits: Iterable[WaitRecord]) -> None:
        """What an earlier worker left."""
        for record in steps:
            if record.status in (StepStatus.RUNNING, StepStatus.WAITING):
                self.running[record.id] = record
        for wait in waits:
            if wait.status is WaitStatus.OPEN:
                self._open_waits.setdefault(wait.step_id, {})[wait.id] = wait

    def start(self, node: str, type_: str, name: str, told: Json, path: str = "") -> StepRecord:
        now = utcnow()
        record = _first(node, type_, path, StepStatus.RUNNING, input=told, started_at=now)
        self.running[record.id] = record
        self._writer.post(steps=(record,), events=(events.step_started(record, name, now),))
        return record

    def resume(self, record: StepRecord, name: str) -> None:
        """The step is run again, by this worker or in a further attempt; its record stands."""
        self.running[record.id] = record
        self._writer.post(events=(events.step_started(record, name, utcnow()),))

    def retell(self, record: StepRecord, told: Json) -> StepRecord:
        """In a fork the step may be told something else than what is on record."""
        following = replace(record, input=told)
        self._writer.post(steps=(following,))
        return following

    def retry(self, record: StepRecord, error: JsonObject, *, fresh: bool, wait: float) -> StepRecord:
        """The next attempt's record. It has the error of the last one, so that a replay knows what ended it."""
        following = replace(
            record,
            status=StepStatus.RUNNING,
            attempt=record.attempt + 1,
            generation=record.generation + (1 if fresh else 0),
            error=error,
        )
        self.running[record.id] = following
        message = f"attempt {record.attempt} failed, the next follows in {wait:g} s: {error['message']}"
        line = events.log("warning", message, {"error": error}, events.reference(record))
        # An attempt that makes its calls afresh asks afresh, too.
        self._writer.post(steps=(following,), events=(line,), waits=self._closed_waits(record) if fresh else ())
        return following

    # --- waiting ------------------------------------------------------------------------------------------

    def open_wait(self, wait: WaitRecord, step: StepRef) -> None:
        self._open_waits.setdefault(wait.step_id, {})[wait.id] = wait
        self._writer.post(waits=(wait,), events=(events.step_waiting(wait, step),))

    def settled(self, wait: WaitRecord) -> None:
        """Somebody else wrote that it is over."""
        self._open_waits.get(wait.step_id, {}).pop(wait.id, None)

    def wait(self, record: StepRecord) -> StepRecord:
        """The step waits. If it has done nothing since it last did, that is on record already."""
        record = self.running[record.id]
        if record.status is not StepStatus.WAITING:
            record = self.running[record.id] = replace(record, status=StepStatus.WAITING)
            self._writer.post(steps=(record,))
        return record

    def go_on(self, record: StepRecord, name: str) -> StepRecord:
        """The step has what it waited for, and does more."""
        following = self.running[record.id] = replace(record, status=StepStatus.RUNNING)
        self._writer.post(steps=(following,), events=(events.step_started(following, name, utcnow()),))
        return following

    # --- the end ------------------------------------------------------------------------------------------

    def succeed(self, record: StepRecord, output: Json) -> None:
        self._end(record, StepStatus.SUCCEEDED, output, None)

    def fail(self, record: StepRecord, error: JsonObject) -> None:
        self._end(record, StepStatus.FAILED, None, error)

    def cancel(self, record: StepRecord) -> None:
        self._end(record, StepStatus.CANCELLED, None, None)

    def fail_at_the_end(self, failed: Sequence[tuple[StepRecord, JsonObject]]) -> None:
        """The failure that ends the execution, of a step and of those it is part of: it becomes true together with
        the end, or not at all."""
        now = utcnow()
        for record, error in failed:
            self.running.pop(record.id, None)
            self._fatal.append(replace(record, status=StepStatus.FAILED, error=error, finished_at=now))

    def close(self) -> None:
        """The execution ends: what failed it is told, and whatever still runs or waits is cancelled."""
        for record in self._fatal:
            self._post_end(record)
        for record in list(self.running.values()):
            self._end(record, StepStatus.CANCELLED, None, None)

    def run_at_once(self, node: str, type_: str, name: str, output: Json, path: str = "") -> None:
        """A step that began and ended in one."""
        now = utcnow()
        record = _first(node, type_, path, StepStatus.SUCCEEDED, output=output, started_at=now, finished_at=now)
        lines = (events.step_started(record, name, now), events.step_finished(record))
        self._writer.post(steps=(record,), events=lines)

    def skip(self, node: str, type_: str, path: str = "") -> None:
        now = utcnow()
        record = _first(node, type_, path, StepStatus.SKIPPED, finished_at=now)
        self._writer.post(steps=(record,), events=(events.step_skipped(record, now),))

    async def settle(self) -> None:
        """Returns when all that was recorded is durable. Raises `StepStopped` if it will not be."""
        await self._writer.barrier()

    def log(self, level: str, message: str, data: JsonObject) -> None:
        """A line of the execution, of no step."""
        self._writer.post(events=(events.log(level, message, data, None),))

    def _end(self, record: StepRecord, status: StepStatus, output: Json, error: JsonObject | None) -> None:
        # A step that was run again since is on record with the state of its last attempt.
        record = self.running.pop(record.id, record)
        self._post_end(replace(record, status=status, output=output, error=error, finished_at=utcnow()))

    def _post_end(self, ended: StepRecord) -> None:
        waits = self._closed_waits(ended) if self._open_waits else ()
        self._writer.post(steps=(ended,), events=(events.step_finished(ended),), waits=waits)

    def _closed_waits(self, step: StepRecord) -> list[WaitRecord]:
        """What the step asked is of no use any more."""
        asked = self._open_waits.pop(step.id, {}).values()
        return [replace(wait, status=WaitStatus.CLOSED) for wait in asked]


def _first(
    node: str,
    type_: str,
    path: str,
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
        path=path,
        attempt=1,
        generation=1,
        status=status,
        input=input,
        output=output,
        started_at=started_at,
        finished_at=finished_at,
    )
