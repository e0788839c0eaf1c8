"""An execution that has ended, and what of its record a replay is given."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import (
    CallRecord,
    CallStatus,
    ExecutionState,
    ExecutionStatus,
    StepRecord,
    StepStatus,
    WaitKind,
    WaitRecord,
    WaitStatus,
)
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject
from shared.workflow.bodies import WITH_BODY, with_nodes

Place = tuple[str, str]

_ANSWERED = (WaitStatus.ANSWERED, WaitStatus.EXPIRED)
# Failures that no record can bring about again: time that has passed, a budget that was used up.
_OF_THE_MOMENT = frozenset(("timeout", "budget_exceeded"))


@dataclass(frozen=True, slots=True)
class Past:
    """`state` has all that was recorded; the rest is how it ended."""

    state: ExecutionState
    status: ExecutionStatus
    output: Json = None
    error: JsonObject | None = None


class Role(Enum):
    """What a step does in a replay: it runs from its calls, it is held where it stands, it is as it was recorded, or
    nothing is known of it, so that what can be found out without calls is found out anew."""

    RUN = auto()
    HELD = auto()
    RECORDED = auto()
    UNKNOWN = auto()


class Records:
    """The records of an execution that has ended, told apart by what can be said of them."""

    def __init__(self, past: Past) -> None:
        self.past = past
        self.steps = past.state.steps
        self._by_place = {(step.node, step.path): step for step in self.steps}
        self._calls = _by_step(past.state.calls)
        self._waits = _by_step(wait for wait in past.state.waits if wait.status in _ANSWERED)

    def is_copied(self, step: StepRecord) -> bool:
        """Taken over from the execution that this one was made of, where it may have run on something else."""
        return step.finished_at is not None and step.finished_at <= self.past.state.created_at

    def is_unfinished(self, step: StepRecord) -> bool:
        """Whether something from outside stopped it."""
        if step.status is StepStatus.FAILED:
            return (step.error or {}).get("code") in _OF_THE_MOMENT
        return step.status not in (StepStatus.SUCCEEDED, StepStatus.SKIPPED)

    def is_container(self, step: StepRecord) -> bool:
        return step.type in WITH_BODY

    def is_fatal(self, step: StepRecord) -> bool:
        """Whether its failure went all the way up."""
        return step.status is StepStatus.FAILED and not self.is_lived_with(step)

    def is_lived_with(self, step: StepRecord) -> bool:
        """Whether it is part of something that succeeded, however it ended itself: of a map that goes on."""
        return any(outer.status is StepStatus.SUCCEEDED for outer in self._around(step))

    def _around(self, step: StepRecord) -> Iterator[StepRecord]:
        path = step.path
        while path:
            path, _, segment = path.rpartition("/")
            outer = self._by_place.get((segment.partition("[")[0], path))
            if outer is not None:
                yield outer

    def calls(self, step: StepRecord) -> list[CallRecord]:
        return self._calls.get(step.id, [])

    def has_journal(self, step: StepRecord) -> bool:
        return step.id in self._calls or step.id in self._waits

    def state(self, role_of: Callable[[StepRecord], Role]) -> ExecutionState:
        """What a replay is given, with these roles."""
        steps: list[StepRecord] = []
        waits: list[WaitRecord] = []
        for step in self.steps:
            match role_of(step):
                case Role.RUN if self.has_journal(step) or step.generation > 1:
                    steps.append(_again(step, StepStatus.RUNNING))
                    waits += self._waits.get(step.id, [])
                case Role.HELD:
                    steps.append(_again(step, StepStatus.WAITING))
                    waits.append(_for_ever(step))
                case Role.RECORDED:
                    steps.append(step)
                case _:
                    pass
        state = self.past.state
        calls = [call for step in self.steps for call in self._given_calls(step, role_of(step))]
        spec = {**state.spec, "graph": without_time(state.spec["graph"])}
        return replace(state, spec=spec, steps=steps, calls=calls, waits=waits, budget=None)

    def _given_calls(self, step: StepRecord, role: Role) -> list[CallRecord]:
        calls = self.calls(step) if role is Role.RUN else []
        if not self.is_unfinished(step):
            return calls
        # A call that failed just before the step was stopped was about to be made again.
        last = max(calls, key=lambda call: (call.started_at or utcnow(), call.id), default=None)
        return [call for call in calls if call is not last or call.status is not CallStatus.FAILED]


def without_time(graph: JsonObject) -> JsonObject:
    """The graph with nothing in it that takes or measures time: every step is tried once, however long that takes."""
    return with_nodes(graph, lambda node: {name: part for name, part in node.items() if name not in _TIMED})


_TIMED = ("timeout_ms", "retry")


def _again(step: StepRecord, status: StepStatus) -> StepRecord:
    return replace(step, status=status, output=None, error=None, finished_at=None)


def _for_ever(step: StepRecord) -> WaitRecord:
    return WaitRecord(
        id=new_id(),
        step_id=step.id,
        key="held",
        kind=WaitKind.TIMER,
        title="held",
        request=None,
        request_hash="",
        status=WaitStatus.OPEN,
        created_at=utcnow(),
    )


def _by_step(records: Iterable[Any]) -> dict[UUID, list[Any]]:
    grouped: dict[UUID, list[Any]] = {}
    for record in records:
        grouped.setdefault(record.step_id, []).append(record)
    return grouped
