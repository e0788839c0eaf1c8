"""The journal of a step: every call it makes is recorded, and a call that is on record is not made again.

A step that is taken up again, or tried again after a call failed, runs its code from the start and gets the
recorded answers until it comes to the first call that has none. Calls are found by their key, which says the
place of the call among those of its kind in its scope; that the request is the same is checked by its hash.
What a step waits for is on record in the same way: an open wait suspends it, a settled one is answered from.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from services.orchestration.engine import budget, codec, doubt, events
from services.orchestration.engine.aborts import JournalDiverged, StepStopped, StepSuspended
from services.orchestration.engine.context import ExecutionContext
from services.orchestration.engine.deltas import DeltaGatherer
from services.orchestration.engine.ports import (
    CallFailed,
    CallKind,
    CallRecord,
    CallStatus,
    Effect,
    StepAborted,
    StepRecord,
    StepRef,
    StepStatus,
    Usage,
    WaitRecord,
    WaitRequest,
    WaitStatus,
)
from services.orchestration.engine.recorder import StepRecorder
from services.orchestration.engine.scopes import current_scope
from shared.kit import failpoints
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject, content_hash
from shared.kit.storable import storable

logger = logging.getLogger(__name__)

T = TypeVar("T")
Record = TypeVar("Record", CallRecord, WaitRecord)

# How long a call under way may go on after its step was stopped, so that its answer is recorded: one that must not
# be made twice always, any other when the step will be run again, where it would be paid a second time.
CALL_GRACE = 4.0


@dataclass(frozen=True, slots=True)
class Intent:
    """A call about to be made or answered from the record. `expected` says what it may come to use. `by_request`: its
    record is found by what it asks, wherever it stands among the others."""

    kind: CallKind
    effect: Effect
    name: str
    request: Json
    model_id: UUID | None = None
    agent_id: UUID | None = None
    expected: Callable[[], Awaitable[Usage]] | None = None
    by_request: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    response: Json
    usage: Usage = field(default_factory=Usage)


_BY_TOKENS = (CallKind.LLM, CallKind.EMBEDDING)

Make = Callable[[str], Awaitable[tuple[T, Answered]]]


def _as_recorded(make: Make[T], read: Callable[[Any], T]) -> Make[T]:
    """An answer with characters that no record can hold is given as a replay will give it, so that what is asked
    after it is the same then."""

    async def recorded(key: str) -> tuple[T, Answered]:
        result, answered = await make(key)
        response = storable(answered.response)
        if response is answered.response:
            return result, answered
        return read(response), replace(answered, response=response)

    return recorded


class StepJournal:
    """All calls and waits of one step, over its attempts."""

    def __init__(
        self,
        context: ExecutionContext,
        recorder: StepRecorder,
        name: str,
        calls: Iterable[CallRecord] = (),
        waits: Iterable[WaitRecord] = (),
    ) -> None:
        self.context = context
        self.recorder = recorder
        self.name = name
        self.calls = {record.key: record for record in calls}
        self.waits = {record.key: record for record in waits}
        # Whether a wait was settled since the last attempt began.
        self.news = False

    def attempt(self, step: StepRecord) -> "AttemptJournal":
        """The calls of this try. The call that ended the last one is made again, all others are replayed."""
        self.news = False
        return AttemptJournal(self, step, (step.error or {}).get("call"))

    def learn(self, wait: WaitRecord) -> bool:
        """How a wait stands now; true if that is news, and the step can go on."""
        known = self.waits.get(wait.key)
        if known is None or known.status is not WaitStatus.OPEN or wait.status is WaitStatus.OPEN:
            return False
        self.waits[wait.key] = wait
        self.news = True
        return True

    @property
    def all_open(self) -> bool:
        """Whether the step cannot have got past any of its waits: to run it again would change nothing."""
        return bool(self.waits) and all(wait.status is WaitStatus.OPEN for wait in self.waits.values())


class AttemptJournal:
    """Record and replay for one attempt of a step."""

    def __init__(self, journal: StepJournal, step: StepRecord, again: str | None) -> None:
        self.context = journal.context
        self.ref: StepRef = events.reference(step)
        self.deltas = DeltaGatherer(self.context.writer, self.ref)
        self.closed = False
        self.aborted: StepAborted | None = None
        self.suspended: StepSuspended | None = None
        self._journal = journal
        self._step = step
        self._again = again
        self._ordinals: Counter[str] = Counter()
        self._raised: list[tuple[str, CallFailed]] = []

    def close(self) -> None:
        """The attempt is over: text on its way is posted, and no call is made any more."""
        self.closed = True
        self.deltas.flush()

    def key_of(self, failure: CallFailed) -> str | None:
        """The key of the call that raised it."""
        return next((key for key, raised in self._raised if raised is failure), None)

    def idempotency_key(self, key: str) -> str:
        execution_id = self._step.keyed_by or self.context.execution_id
        return f"{execution_id}:{self._step.node}:{self._step.path}:{key}"

    def abort(self, reason: StepAborted) -> StepAborted:
        """Kept too, in case a library swallows even this."""
        self.aborted = self.aborted or reason
        return reason

    # --- waits --------------------------------------------------------------------------------------------

    def wait(self, request: WaitRequest, key: str | None = None) -> WaitRecord:
        """The settled wait. One that is open, now or from now on, suspends the step: raises `StepSuspended`."""
        self._check_open()
        shown = storable(request.request)
        request_hash = content_hash(shown)
        key, record = self._on_record(self._journal.waits, key or self._next_key("wait"), request_hash)
        if record is None:
            record = self._begin_wait(key, request, shown, request_hash)
        elif record.request_hash != request_hash or record.kind is not request.kind:
            raise self.abort(JournalDiverged(f"wait {key} now asks something else than what is recorded"))
        return self._settled_wait(record)

    def _settled_wait(self, record: WaitRecord) -> WaitRecord:
        if record.status in (WaitStatus.ANSWERED, WaitStatus.EXPIRED):
            return record
        self.suspended = StepSuspended(f"waits for {record.title}")
        raise self.suspended

    def _begin_wait(self, key: str, request: WaitRequest, shown: Json, request_hash: str) -> WaitRecord:
        now = utcnow()
        due_at = request.due_at
        if due_at is None and request.due_in is not None:
            due_at = now + timedelta(seconds=request.due_in)
        record = WaitRecord(
            id=new_id(),
            step_id=self._step.id,
            key=key,
            kind=request.kind,
            title=request.title,
            request=shown,
            request_hash=request_hash,
            status=WaitStatus.OPEN,
            created_at=now,
            due_at=due_at,
            audience=request.audience,
            child=request.child,
        )
        self._journal.waits[key] = record
        self._go_on()
        self._journal.recorder.open_wait(record, self.ref)
        return record

    def _go_on(self) -> None:
        """A step that was waiting does something that it had not done before."""
        if self._step.status is StepStatus.WAITING:
            self._step = self._journal.recorder.go_on(self._step, self._journal.name)

    # --- calls --------------------------------------------------------------------------------------------

    @property
    def calls(self) -> Mapping[str, CallRecord]:
        """Those on record of this step, by their keys."""
        return self._journal.calls

    def shorten(self, key: str, response: Json) -> None:
        """Leaves on record of a call's answer only this: that it was made and paid stands."""
        record = self._journal.calls[key] = replace(self._journal.calls[key], response=response)
        self.context.writer.post(calls=[record])

    async def answer(self, intent: Intent, make: Make[T], read: Callable[[Any], T]) -> T:
        self._check_open()
        request_hash = content_hash(intent.request)
        key, record = self._on_record(self._journal.calls, self._key_of(intent, request_hash), request_hash)
        if record is not None and self._replays(record):
            if record.request_hash != request_hash:
                raise self.abort(
                    JournalDiverged(f"call {key} ({record.name}) now asks something else than what is recorded")
                )
            settled = self._settled(record)
            if settled is not None:
                return read(settled.response)
        begun = self._begun(intent, key, request_hash, record)
        if self.context.budget.unlimited:
            return await self._make(begun, _as_recorded(make, read))
        await self._admit(begun, intent)
        try:
            return await self._make(begun, _as_recorded(make, read))
        except (asyncio.CancelledError, StepAborted):
            # A call that is stopped leaves no record, and holds back nothing.
            self.context.budget.settle(begun)
            raise

    def _check_open(self) -> None:
        if self.closed or self.suspended is not None:
            raise StepStopped("the attempt is over")

    def _key_of(self, intent: Intent, request_hash: str) -> str:
        if not intent.by_request:
            return self._next_key(intent.kind.value)
        return self._next_key(intent.kind.value, request_hash[:32])

    def _next_key(self, kind: str, about: str | None = None) -> str:
        where = f"{self._step.generation}/{current_scope()}/{kind}"
        counted = where if about is None else f"{where}/{about}"
        ordinal = self._ordinals[counted]
        self._ordinals[counted] += 1
        return f"{where}/{ordinal}" if about is None else f"{counted}.{ordinal}"

    def _on_record(self, records: Mapping[str, Record], key: str, request_hash: str) -> tuple[str, Record | None]:
        """The record under this key. In a fork, one that does not fit any more is left, with the new one beside it."""
        record = records.get(key)
        while record is not None and self.context.forked and record.request_hash != request_hash:
            key += "+"
            record = records.get(key)
        return key, record

    def _replays(self, record: CallRecord) -> bool:
        if record.status is CallStatus.FAILED:
            return record.key != self._again or record.effect is Effect.ONCE
        return record.status is CallStatus.SUCCEEDED or record.effect is Effect.ONCE

    def _settled(self, record: CallRecord) -> CallRecord | None:
        """The record if it has an answer; None if the call is to be made once more, as a person has decided."""
        if record.status is CallStatus.SUCCEEDED:
            return record
        if record.status is CallStatus.FAILED:
            failure = codec.read_call_failure(record.error or {})
            self._raised.append((record.key, failure))
            raise failure
        asked = doubt.question(record, self.idempotency_key(record.key))
        verdict = doubt.verdict(record, self.wait(asked, doubt.key(record)))
        if isinstance(verdict, StepAborted):
            raise self.abort(verdict)
        if verdict is not None:
            self._go_on()
            self._record(verdict, None)
        return verdict

    def _begun(self, intent: Intent, key: str, request_hash: str, before: CallRecord | None) -> CallRecord:
        return CallRecord(
            id=new_id() if before is None else before.id,
            step_id=self._step.id,
            key=key,
            kind=intent.kind,
            effect=intent.effect,
            name=intent.name,
            request_hash=request_hash,
            request=intent.request,
            status=CallStatus.STARTED,
            model_id=intent.model_id,
            agent_id=intent.agent_id,
            tries=1 if before is None else before.tries + 1,
            started_at=utcnow(),
        )

    async def _admit(self, record: CallRecord, intent: Intent) -> None:
        """Returns when the call may be paid for. Else it is not made: the step waits for a person, or fails."""
        expected = budget.NOTHING if intent.expected is None else await intent.expected()
        asked = self._journal.waits.get(budget.key(record))
        if asked is None:
            exceeded = await self.context.budget.reserve(record, expected)
            if exceeded is None:
                return
            if not exceeded.asks_a_person:
                raise budget.refusal(exceeded)
            asked = self.wait(budget.question(exceeded, record), budget.key(record))
        self.context.budget.allow(self._settled_wait(asked))
        await self.context.budget.reserve(record, expected, force=True)

    async def _make(self, record: CallRecord, make: Make[T]) -> T:
        writer = self.context.writer
        self._go_on()
        if record.kind is CallKind.TOOL:
            request: Any = record.request
            writer.post(events=[events.tool_call(record.key, record.name, request["arguments"], self.ref)])
        if record.effect is Effect.ONCE:
            writer.post(calls=[record])
        # Before the world is asked again, what it answered so far is made durable.
        await writer.barrier()
        self._check_open()
        call = asyncio.create_task(self._recorded(record, make))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await self._let_go(call, record.effect)
            raise
        finally:
            if record.effect is Effect.ONCE:
                await writer.barrier()

    async def _let_go(self, call: asyncio.Task[Any], effect: Effect) -> None:
        """The step was stopped. The call is given time to end, or cancelled too."""
        try:
            if effect is Effect.ONCE or self.suspended is not None or self.context.handing_over:
                await asyncio.wait((call,), timeout=CALL_GRACE)
        finally:
            call.cancel()

    async def _recorded(self, record: CallRecord, make: Make[T]) -> T:
        try:
            if failpoints.armed:
                await failpoints.reach("call.before")
            result, answered = await make(record.key)
            if failpoints.armed:
                await failpoints.reach("call.made")
        except CallFailed as failure:
            # Whatever the other side says: what must not be made twice is not tried again.
            failure.retryable = failure.retryable and record.effect is not Effect.ONCE
            self._record_failure(record, failure)
            raise
        except Exception as error:
            logger.exception("a port raised what it should not: call %s of step %s", record.key, self._step.id)
            failure = CallFailed(
                f"{record.name} failed unexpectedly ({type(error).__name__})",
                code="call_failed",
                source=record.name,
                retryable=record.effect is not Effect.ONCE,
            )
            self._record_failure(record, failure)
            raise failure from error
        used = answered.usage
        succeeded = replace(
            record,
            status=CallStatus.SUCCEEDED,
            response=answered.response,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cost=used.cost,
            finished_at=utcnow(),
        )
        self._record(succeeded, used)
        return result

    def _record_failure(self, record: CallRecord, failure: CallFailed) -> None:
        self._raised.append((record.key, failure))
        self._record(
            replace(record, status=CallStatus.FAILED, error=codec.call_failure(failure), finished_at=utcnow()), None
        )

    def _record(self, record: CallRecord, used: Usage | None) -> None:
        self._journal.calls[record.key] = record
        self.context.budget.settle(record)
        self.deltas.flush()
        lines: list[Any] = []
        if record.kind in _BY_TOKENS and used is not None:
            lines.append(events.usage(record.name, used, self.ref))
        elif record.kind is CallKind.TOOL:
            outcome: JsonObject = {"result": record.response} if record.error is None else {"error": record.error}
            lines.append(events.tool_result(record.key, record.name, outcome, self.ref))
        self.context.writer.post(calls=[record], events=lines)
