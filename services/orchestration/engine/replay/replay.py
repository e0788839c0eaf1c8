"""Runs an execution that has ended once more from its journal, and says whether every step came out the same.

Nothing outside is asked and nothing is written. In a graph the first failure stops all else, so a run that failed is
replayed twice: first with what failed held back, so that everything else gets to its end however fast it is now; then
what failed alone. What was stopped before its end, by a cancellation for instance, is replayed as far as its record
goes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from services.orchestration.engine.ports import (
    ExecutionState,
    ExecutionStatus,
    LedgerBatch,
    Outside,
    StepRecord,
    StepStatus,
    Transition,
    WaitRecord,
)
from services.orchestration.engine.replay.outside import NOT_RECORDED, Refusals, refusing
from services.orchestration.engine.replay.past import Past, Place, Records, Role
from services.orchestration.engine.runner import ExecutionRunner
from shared.kit.json import Json, JsonObject, canonical, dumps
from shared.kit.storable import storable

_DIVERGED = ("journal_diverged", NOT_RECORDED)
_ENDS = (StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.SKIPPED)
# Of a report, which is an execution's output: so many steps, so many characters of what a step gave.
_MOST_TOLD = 50
_MOST_SHOWN = 2_000
# Of steps that were stopped, each of which takes a passage of its own.
_MOST_STOPPED = 100


async def replay(past: Past, outside: Outside) -> JsonObject:
    """The report. `outside` is not asked for anything but what models and tools are; its agents work."""
    return await _Replay(past, outside).run()


@dataclass(slots=True)
class _Passage:
    """What came of running it once more: how steps ended, the first time each, and how all did."""

    ended: dict[Place, StepRecord] = field(default_factory=dict[Place, StepRecord])
    end: Transition | None = None
    asked: list[str] = field(default_factory=list[str])

    @property
    def failed(self) -> bool:
        return self.end is not None and self.end.status is ExecutionStatus.FAILED


class _Ledger:
    """In memory, for one passage."""

    def __init__(self, state: ExecutionState, passage: _Passage) -> None:
        self._state = state
        self._passage = passage

    async def load(self) -> ExecutionState:
        return self._state

    async def write(self, batch: LedgerBatch) -> None:
        for step in batch.steps:
            if step.status in _ENDS:
                self._passage.ended.setdefault((step.node, step.path), step)
        if batch.transition is not None:
            self._passage.end = batch.transition

    async def waits(self) -> tuple[int, list[WaitRecord]]:
        return self._state.wakes, self._state.waits


@dataclass(frozen=True, slots=True)
class _Difference:
    step: StepRecord
    got: StepRecord | None

    @property
    def reached(self) -> bool:
        return self.got is not None

    @property
    def diverged(self) -> bool:
        return self.got is not None and (self.got.error or {}).get("code") in _DIVERGED


class _Replay:
    def __init__(self, past: Past, outside: Outside) -> None:
        self._past = past
        self._outside = outside
        self._records = Records(past)
        self._checked = 0
        self._calls: set[UUID] = set()
        self._differences: list[_Difference] = []
        self._ends: list[tuple[JsonObject, JsonObject]] = []

    async def run(self) -> JsonObject:
        await self._all_that_ended()
        fatal = [step for step in self._records.steps if self._is_fatal(step)]
        if fatal:
            await self._what_failed({step.id for step in fatal})
        for step in self._stopped()[:_MOST_STOPPED]:
            await self._as_far_as_it_came(step)
        return self._report()

    # --- passages -----------------------------------------------------------------------------------------

    async def _all_that_ended(self) -> None:
        records = self._records
        whole = all(
            records.is_lived_with(step) or not (records.is_fatal(step) or records.is_unfinished(step))
            for step in records.steps
        )
        passage = await self._pass(self._role_in_all)
        compared = [step for step in records.steps if self._is_compared(step) and not records.is_fatal(step)]
        self._compare(compared, passage)
        if whole and self._past.status is not ExecutionStatus.CANCELLED:
            self._compare_end(passage)

    def _role_in_all(self, step: StepRecord) -> Role:
        records = self._records
        if records.is_copied(step):
            return Role.RECORDED
        if records.is_container(step):
            return Role.UNKNOWN
        if records.is_fatal(step):
            return Role.HELD
        if records.is_unfinished(step):
            return Role.RECORDED if step.status is StepStatus.FAILED else Role.HELD
        return Role.RUN

    async def _what_failed(self, fatal: set[UUID]) -> None:
        passage = await self._pass(lambda step: Role.RUN if step.id in fatal else self._role_beside(step))
        self._compare([step for step in self._records.steps if step.id in fatal], passage)
        self._compare_end(passage)

    async def _as_far_as_it_came(self, target: StepRecord) -> None:
        """It differs if it diverges from its record before it asks for anything beyond it."""
        passage = await self._pass(lambda step: Role.RUN if step is target else self._role_beside(step))
        got = passage.ended.get((target.node, target.path))
        self._checked += 1
        if got is not None and got.status is StepStatus.FAILED and not passage.asked:
            self._differences.append(_Difference(target, got))

    def _role_beside(self, step: StepRecord) -> Role:
        """While others run: as it was recorded, if it has ended."""
        records = self._records
        if records.is_copied(step) or step.status is StepStatus.SUCCEEDED:
            return Role.RECORDED
        if records.is_container(step) or step.status is StepStatus.SKIPPED:
            return Role.UNKNOWN
        return Role.RECORDED if step.status is StepStatus.FAILED and not records.is_fatal(step) else Role.HELD

    async def _pass(self, role_of: Callable[[StepRecord], Role]) -> _Passage:
        passage = _Passage()
        refusals = Refusals()
        state = self._records.state(role_of)
        self._calls.update(call.id for call in state.calls)
        await ExecutionRunner(_Ledger(state, passage), refusing(self._outside, refusals)).run()
        passage.asked = refusals.asked
        return passage

    # --- what is compared ---------------------------------------------------------------------------------

    def _is_fatal(self, step: StepRecord) -> bool:
        records = self._records
        return records.is_fatal(step) and not records.is_unfinished(step) and not records.is_copied(step)

    def _is_compared(self, step: StepRecord) -> bool:
        return not self._records.is_copied(step) and not self._records.is_unfinished(step)

    def _stopped(self) -> list[StepRecord]:
        records = self._records
        return [
            step
            for step in records.steps
            if records.is_unfinished(step) and records.has_journal(step) and not records.is_lived_with(step)
        ]

    def _compare(self, steps: Iterable[StepRecord], passage: _Passage) -> None:
        """A failure cuts off what had no time to end. That is no difference if it failed in the first place."""
        as_before = passage.failed and self._past.status is ExecutionStatus.FAILED and _same_end(self._past, passage)
        for step in steps:
            got = passage.ended.get((step.node, step.path))
            if got is None and as_before:
                continue
            self._checked += 1
            if got is None or _shown(step) != _shown(got):
                self._differences.append(_Difference(step, got))

    def _compare_end(self, passage: _Passage) -> None:
        if not _same_end(self._past, passage):
            self._ends.append((_end_of(self._past), _end_of(passage.end)))

    # --- the report ---------------------------------------------------------------------------------------

    def _report(self) -> JsonObject:
        # What was not reached because something before it differs says nothing more.
        told = [each for each in self._differences if each.reached] or self._differences
        return {
            "same": not told and not self._ends,
            "steps_checked": self._checked,
            "calls_replayed": len(self._calls),
            "steps": [_told(each) for each in told[:_MOST_TOLD]],
            "diverged": [_place(each.step) for each in told if each.diverged][:_MOST_TOLD],
            "end": [{"expected": _cut(expected), "got": _cut(got)} for expected, got in self._ends],
        }


def _same_end(past: Past, passage: _Passage) -> bool:
    return canonical(_end_of(past)) == canonical(_end_of(passage.end))


def _end_of(end: Past | Transition | None) -> JsonObject:
    if end is None:
        return {"status": None}
    return {"status": end.status.value, "output": _comparable(end.output), "error": _reason(end.error)}


def _shown(step: StepRecord) -> bytes:
    return canonical(_result(step))


def _result(step: StepRecord) -> JsonObject:
    return {"status": step.status.value, "output": _comparable(step.output), "error": _reason(step.error)}


def _comparable(output: Json) -> Json:
    """The second engine knew of no citations: to have none is the same."""
    if isinstance(output, dict):
        return {
            storable(name): _comparable(part)
            for name, part in output.items()
            if not (name == "citations" and part == [])
        }
    return [_comparable(part) for part in output] if isinstance(output, list) else storable(output)


def _reason(error: JsonObject | None) -> Json:
    return None if error is None else storable({name: error.get(name) for name in ("code", "message", "node")})


def _told(difference: _Difference) -> JsonObject:
    got = {"status": "not reached"} if difference.got is None else _result(difference.got)
    return {
        **_place(difference.step),
        "same": False,
        "expected": _cut(_result(difference.step)),
        "got": _cut(got),
    }


def _place(step: StepRecord) -> JsonObject:
    return {"node": step.node, "path": step.path}


def _cut(value: JsonObject) -> JsonObject:
    return {name: _cut_part(part) for name, part in value.items()}


def _cut_part(part: Json) -> Json:
    text = dumps(part)
    return part if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN]
