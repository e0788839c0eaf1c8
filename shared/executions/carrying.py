"""What is on record of an execution, as far as it stays on record in one that is made of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from shared.database.session import ReadSession
from shared.database.tables.ledger import CallRow, StepRow, WaitRow
from shared.executions.copying import Copies
from shared.executions.keeping import (
    Cut,
    Fate,
    PastCall,
    PastStep,
    Place,
    fates,
    generation_of,
    recall,
    starts_afresh,
)
from shared.kit.json import Json, JsonObject
from shared.workflow.bodies import WITH_BODY
from shared.workflow.states import Action, CallKind, CallStatus, Effect, StepStatus, WaitKind, WaitStatus

_UNFINISHED = (StepStatus.RUNNING, StepStatus.WAITING)
_SETTLED = (WaitStatus.ANSWERED.value, WaitStatus.EXPIRED.value)
# Once more from its beginning, in a first attempt.
_AGAIN: JsonObject = {
    "status": StepStatus.RUNNING.value,
    "attempt": 1,
    "output": None,
    "error": None,
    "finished_at": None,
}
# In the attempt that it is in.
_GOES_ON: JsonObject = {"status": StepStatus.RUNNING.value, "error": None}
# What a retry repeats is the same call to whoever is called: it may have taken effect, though nobody heard. A fork's
# source may go on itself, and its calls are none of the fork's.
_SAME_CALLS: Mapping[str, Any] = {"keyed_by": func.coalesce(StepRow.keyed_by, StepRow.execution_id)}
_CALLS_OF_ITS_OWN: Mapping[str, Any] = {"keyed_by": None}
# As if nobody knew how it ended. How it does is the new execution's own affair.
_IN_DOUBT: JsonObject = {"status": CallStatus.STARTED.value, "error": None, "copied": False}


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gives in place of what was."""

    value: Json


@dataclass(frozen=True, slots=True)
class AtCall:
    """A fork that begins within a step, at this call of it, whose response is `response` if that is given."""

    call: CallRow
    response: Given | None


@dataclass(frozen=True, slots=True)
class _Call:
    id: UUID
    key: str
    status: CallStatus
    effect: Effect
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Wait:
    id: UUID
    key: str
    kind: WaitKind
    action: str | None
    created_at: datetime


async def carry_over(
    session: ReadSession, source_id: UUID, *, cut: Cut | None = None, at_call: AtCall | None = None
) -> Copies:
    """What to copy. Without a cut: all that succeeded, and of what did not, the calls that need not be made again."""
    steps = (await session.scalars(select(StepRow).where(StepRow.execution_id == source_id))).all()
    past = [PastStep(row.id, Place(row.node, row.path), StepStatus(row.status)) for row in steps]
    decided = fates(past, cut)
    calls, waits = await _calls(session, source_id), await _waits(session, source_id)
    carrying = _Carrying(calls, waits, _SAME_CALLS if cut is None else _CALLS_OF_ITS_OWN)
    carrying.keep([row for row in steps if decided[row.id] is Fate.KEPT])
    for row in steps:
        if at_call is not None and row.id == at_call.call.step_id:
            carrying.begin_at(row, at_call)
        elif decided[row.id] is Fate.RESUMED:
            carrying.resume(row)
    return carrying.copies


class _Carrying:
    def __init__(
        self, calls: Mapping[UUID, Sequence[_Call]], waits: Mapping[UUID, Sequence[_Wait]], keys: Mapping[str, Any]
    ) -> None:
        self._calls = calls
        self._waits = waits
        self._keys = keys
        self.copies = Copies()

    def keep(self, steps: Iterable[StepRow]) -> None:
        """As they are, with their calls. What they waited for is of no use any more."""
        ids = [row.id for row in steps]
        self.copies.steps.append((ids, {}))
        self.copies.calls.append(([call.id for id_ in ids for call in self._calls.get(id_, ())], {}))

    def resume(self, row: StepRow) -> None:
        """A step that goes on from its calls. One whose calls are of no use is not copied, nor is one with a body, in
        which each step has its own record: they begin anew."""
        status = StepStatus(row.status)
        if row.type in WITH_BODY or starts_afresh(status, row.error):
            return
        changes = _GOES_ON if status in _UNFINISHED else _AGAIN
        self.copies.steps.append(([row.id], {**changes, **self._keys}))
        stands = recall(map(_past, self._calls.get(row.id, ())), row.generation, (row.error or {}).get("call"))
        self.copies.calls.append((stands.replayed, {}))
        self.copies.calls.append((stands.in_doubt, _IN_DOUBT))
        waits = [wait for wait in self._waits.get(row.id, ()) if generation_of(wait.key) == row.generation]
        # Whoever ignored such a question let the step fail; it is for a retry to ask again.
        kept = [wait.id for wait in waits if status in _UNFINISHED or not _let_it_fail(wait)]
        self.copies.waits.append((kept, {}))

    def begin_at(self, row: StepRow, at: AtCall) -> None:
        """The step where a fork begins, with what it did before that call."""
        generation = generation_of(at.call.key)
        began = at.call.started_at
        calls = [
            call.id
            for call in self._calls.get(row.id, ())
            if generation_of(call.key) == generation and call.id != at.call.id and _before(call.started_at, began)
        ]
        before = [
            wait
            for wait in self._waits.get(row.id, ())
            if generation_of(wait.key) == generation and _before(wait.created_at, began)
        ]
        # Made again, it needs a person's word again.
        spent = _let_pass(before, at.call.key) if at.response is None else ()
        waits = [wait.id for wait in before if wait not in spent]
        self.copies.steps.append(([row.id], {**_AGAIN, **self._keys, "generation": generation}))
        self.copies.calls.append((calls, {}))
        self.copies.waits.append((waits, {}))
        if at.response is not None:
            given = {"status": CallStatus.SUCCEEDED.value, "response": at.response.value, "error": None}
            self.copies.calls.append(([at.call.id], given))


def _past(call: _Call) -> PastCall:
    return PastCall(call.id, call.key, call.status is CallStatus.FAILED, call.effect is Effect.ONCE)


def _let_it_fail(wait: _Wait) -> bool:
    return wait.kind in (WaitKind.BUDGET, WaitKind.CALL_IN_DOUBT) and wait.action in (None, Action.IGNORE.value)


def _let_pass(waits: Sequence[_Wait], call: str) -> Sequence[_Wait]:
    """Of what was asked before the call with this key was made: what it was itself about."""
    scope, kind, _ = call.rsplit("/", 2)
    approvals = [wait for wait in waits if wait.kind is WaitKind.TOOL_APPROVAL and _scope(wait.key) == scope]
    approved = approvals[-1:] if kind == CallKind.TOOL else []
    return [*approved, *(wait for wait in waits if wait.key.startswith(f"{call}/"))]


def _scope(key: str) -> str:
    return key.rsplit("/", 2)[0]


def _before(moment: datetime | None, other: datetime | None) -> bool:
    return moment is not None and other is not None and moment <= other


async def _calls(session: ReadSession, execution_id: UUID) -> Mapping[UUID, Sequence[_Call]]:
    """By step, in the order of their start."""
    columns = (CallRow.step_id, CallRow.id, CallRow.key, CallRow.status, CallRow.effect, CallRow.started_at)
    statement = select(*columns).where(CallRow.execution_id == execution_id).order_by(CallRow.started_at, CallRow.id)
    found: defaultdict[UUID, list[_Call]] = defaultdict(list)
    for step_id, id_, key, status, effect, started_at in (await session.execute(statement)).all():
        found[step_id].append(_Call(id_, key, CallStatus(status), Effect(effect), started_at))
    return found


async def _waits(session: ReadSession, execution_id: UUID) -> Mapping[UUID, Sequence[_Wait]]:
    """Those that were settled, by step, in the order in which they were asked."""
    action: Any = WaitRow.answer["action"].astext
    columns = (WaitRow.step_id, WaitRow.id, WaitRow.key, WaitRow.kind, action, WaitRow.created_at)
    settled = (WaitRow.execution_id == execution_id, WaitRow.status.in_(_SETTLED))
    statement = select(*columns).where(*settled).order_by(WaitRow.created_at, WaitRow.id)
    found: defaultdict[UUID, list[_Wait]] = defaultdict(list)
    for step_id, id_, key, kind, given, created_at in (await session.execute(statement)).all():
        found[step_id].append(_Wait(id_, key, WaitKind(kind), given, created_at))
    return found
