"""The journal of a step: every call it makes is recorded, and a call that is on record is not made again.

A step that is taken up again, or tried again after a call failed, runs its code from the start and gets the
recorded answers until it comes to the first call that has none. Calls are found by their key, which says the
place of the call among those of its kind in its scope; that the request is the same is checked by its hash.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, TypeVar
from uuid import UUID

from services.orchestration.engine import codec, events
from services.orchestration.engine.aborts import CallInDoubt, JournalDiverged, StepStopped
from services.orchestration.engine.deltas import DeltaGatherer
from services.orchestration.engine.ending import EndSignal, Reason
from services.orchestration.engine.ports import (
    CallFailed,
    CallKind,
    CallRecord,
    CallStatus,
    Delta,
    Effect,
    ModelInfo,
    ModelReply,
    ModelRequest,
    Outside,
    Passage,
    StepAborted,
    StepRecord,
    StepRef,
    ToolContext,
    ToolSpec,
    Usage,
)
from services.orchestration.engine.writer import LedgerWriter
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject, content_hash
from shared.kit.storable import storable

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long a call under way may go on after its step was stopped, so that its answer is recorded: one that must not
# be made twice always, any other when the execution is handed over, where it would be paid a second time.
CALL_GRACE = 4.0

_scope: ContextVar[str] = ContextVar("quarterdeck_call_scope", default="")


class _Scope:
    """Keys calls apart. A class, not a generator: it is entered for every task and tool of every agent."""

    __slots__ = ("_name", "_token")

    def __init__(self, name: str) -> None:
        self._name = name
        self._token: Token[str] | None = None

    def __enter__(self) -> None:
        outer = _scope.get()
        self._token = _scope.set(f"{outer}.{self._name}" if outer else self._name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._token is not None:
            _scope.reset(self._token)


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What all steps of one execution share."""

    execution_id: UUID
    tenant_id: UUID
    outside: Outside
    writer: LedgerWriter
    signal: EndSignal
    model_names: dict[str, str]

    @property
    def parking(self) -> bool:
        return self.signal.ending is not None and self.signal.ending.reason is Reason.PARK


@dataclass(frozen=True, slots=True)
class _Intent:
    """A call about to be made or answered from the record."""

    kind: CallKind
    effect: Effect
    name: str
    request: Json
    model_id: UUID | None = None
    agent_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    response: Json
    usage: Usage = field(default_factory=Usage)


def _as_recorded(
    make: Callable[[str], Awaitable[tuple[T, _Outcome]]], read: Callable[[Any], T]
) -> Callable[[str], Awaitable[tuple[T, _Outcome]]]:
    """An answer with characters that no record can hold is given as a replay will give it, so that what is asked
    after it is the same then."""

    async def recorded(key: str) -> tuple[T, _Outcome]:
        result, outcome = await make(key)
        response = storable(outcome.response)
        if response is outcome.response:
            return result, outcome
        return read(response), replace(outcome, response=response)

    return recorded


class StepJournal:
    """All calls of one step, over its attempts."""

    def __init__(self, context: ExecutionContext, recorded: Iterable[CallRecord] = ()) -> None:
        self.context = context
        self.records = {record.key: record for record in recorded}

    def attempt(self, step: StepRecord) -> "AttemptCalls":
        """The calls of this try. The call that ended the last one is made again, all others are replayed."""
        ended_by = (step.error or {}).get("call")
        return AttemptCalls(self, step, ended_by)


class AttemptCalls:
    """The port `StepCalls` for one attempt of a step."""

    def __init__(self, journal: StepJournal, step: StepRecord, again: str | None) -> None:
        self._journal = journal
        self._context = journal.context
        self._step = step
        self._ref: StepRef = events.reference(step)
        self._again = again
        self._ordinals: Counter[str] = Counter()
        self._raised: list[tuple[str, CallFailed]] = []
        self._deltas = DeltaGatherer(self._context.writer, self._ref)
        self._closed = False
        self.aborted: StepAborted | None = None

    # --- the port -----------------------------------------------------------------------------------------

    def scope(self, name: str) -> _Scope:
        return _Scope(name)

    async def describe_model(self, model_id: UUID) -> ModelInfo:
        return await self._context.outside.models.describe(self._context.tenant_id, model_id)

    def describe_tool(self, name: str) -> ToolSpec:
        return self._context.outside.tools.describe(name)

    async def model(self, request: ModelRequest, *, agent_id: UUID | None = None) -> ModelReply:
        model = self._context.model_names.get(str(request.model_id), str(request.model_id))
        intent = _Intent(
            CallKind.LLM, Effect.READ, model, codec.model_request(request), model_id=request.model_id, agent_id=agent_id
        )

        async def make(key: str) -> tuple[ModelReply, _Outcome]:
            def on_delta(delta: Delta) -> None:
                if not self._closed:
                    self._deltas.add(delta, key, agent_id)

            reply = await self._context.outside.models.complete(self._context.tenant_id, request, on_delta)
            return reply, _Outcome(codec.model_reply(reply), reply.usage)

        return await self._answer(intent, make, codec.read_model_reply)

    async def tool(
        self,
        name: str,
        arguments: JsonObject,
        *,
        agent_id: UUID | None = None,
        knowledge_base_ids: Sequence[UUID] = (),
    ) -> str:
        bases = tuple(knowledge_base_ids)
        request: JsonObject = {
            "name": name,
            "arguments": arguments,
            "knowledge_base_ids": [str(each) for each in bases],
        }
        intent = _Intent(CallKind.TOOL, self.describe_tool(name).effect, name, request, agent_id=agent_id)

        async def make(key: str) -> tuple[str, _Outcome]:
            text = await self._context.outside.tools.call(
                name,
                arguments,
                ToolContext(self._context.tenant_id, self._context.execution_id, bases, self._idempotency_key(key)),
            )
            return text, _Outcome(text)

        return await self._answer(intent, make, str)

    async def knowledge(self, knowledge_base_ids: Sequence[UUID], query: str, top_k: int, mode: str) -> list[Passage]:
        bases = tuple(knowledge_base_ids)
        request: JsonObject = {
            "knowledge_base_ids": [str(each) for each in bases],
            "query": query,
            "top_k": top_k,
            "mode": mode,
        }
        intent = _Intent(CallKind.KNOWLEDGE, Effect.READ, "knowledge", request)

        async def make(_: str) -> tuple[list[Passage], _Outcome]:
            found = await self._context.outside.knowledge.search(self._context.tenant_id, bases, query, top_k, mode)
            return found, _Outcome(codec.passages(found))

        return await self._answer(intent, make, codec.read_passages)

    def log(self, level: Literal["debug", "info", "warning", "error"], message: str, **data: Any) -> None:
        self._context.writer.post(events=[events.log(level, message, data, self._ref)])

    # --- for the one who runs the attempt -----------------------------------------------------------------

    def close(self) -> None:
        """The attempt is over: text on its way is posted, and no call is made any more."""
        self._closed = True
        self._deltas.flush()

    def key_of(self, failure: CallFailed) -> str | None:
        """The key of the call that raised it."""
        return next((key for key, raised in self._raised if raised is failure), None)

    # --- record and replay --------------------------------------------------------------------------------

    async def _answer(
        self,
        intent: _Intent,
        make: Callable[[str], Awaitable[tuple[T, _Outcome]]],
        read: Callable[[Any], T],
    ) -> T:
        if self._closed:
            raise StepStopped("the attempt is over")
        key = self._next_key(intent.kind)
        request_hash = content_hash(intent.request)
        record = self._journal.records.get(key)
        if record is not None and self._replays(record):
            return self._replay(record, request_hash, read)
        fresh = CallRecord(
            id=new_id() if record is None else record.id,
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
            tries=1 if record is None else record.tries + 1,
            started_at=utcnow(),
        )
        return await self._make(fresh, _as_recorded(make, read))

    def _next_key(self, kind: CallKind) -> str:
        where = f"{self._step.generation}/{_scope.get()}/{kind.value}"
        ordinal = self._ordinals[where]
        self._ordinals[where] += 1
        return f"{where}/{ordinal}"

    def _replays(self, record: CallRecord) -> bool:
        if record.status is CallStatus.FAILED:
            return record.key != self._again or record.effect is Effect.ONCE
        return record.status is CallStatus.SUCCEEDED or record.effect is Effect.ONCE

    def _replay(self, record: CallRecord, request_hash: str, read: Callable[[Any], T]) -> T:
        if record.request_hash != request_hash:
            raise self._abort(
                JournalDiverged(f"call {record.key} ({record.name}) now asks something else than what is recorded")
            )
        if record.status is CallStatus.SUCCEEDED:
            return read(record.response)
        if record.status is CallStatus.STARTED:
            raise self._abort(
                CallInDoubt(
                    f"{record.name} was called when the worker stopped, and whether it took effect is not known; "
                    "it must not be called twice, so look there before you start this again"
                )
            )
        failure = codec.read_call_failure(record.error or {})
        self._raised.append((record.key, failure))
        raise failure

    def _abort(self, reason: StepAborted) -> StepAborted:
        """Kept too, in case a library swallows even this."""
        self.aborted = self.aborted or reason
        return reason

    async def _make(self, record: CallRecord, make: Callable[[str], Awaitable[tuple[T, _Outcome]]]) -> T:
        writer = self._context.writer
        if record.kind is CallKind.TOOL:
            request: Any = record.request
            writer.post(events=[events.tool_call(record.key, record.name, request["arguments"], self._ref)])
        if record.effect is Effect.ONCE:
            writer.post(calls=[record])
        # Before the world is asked again, what it answered so far is made durable.
        await self._context.writer.barrier()
        if self._closed:
            raise StepStopped("the attempt is over")
        call = asyncio.create_task(self._recorded(record, make))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await self._let_go(call, record.effect)
            raise
        finally:
            if record.effect is Effect.ONCE:
                await self._context.writer.barrier()

    async def _let_go(self, call: asyncio.Task[Any], effect: Effect) -> None:
        """The step was stopped. The call is given time to end, or cancelled too."""
        try:
            if effect is Effect.ONCE or self._context.parking:
                await asyncio.wait((call,), timeout=CALL_GRACE)
        finally:
            call.cancel()

    async def _recorded(self, record: CallRecord, make: Callable[[str], Awaitable[tuple[T, _Outcome]]]) -> T:
        try:
            result, outcome = await make(record.key)
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
        self._record(
            replace(
                record,
                status=CallStatus.SUCCEEDED,
                response=outcome.response,
                input_tokens=outcome.usage.input_tokens,
                output_tokens=outcome.usage.output_tokens,
                cost=outcome.usage.cost,
                finished_at=utcnow(),
            ),
            outcome.usage,
        )
        return result

    def _record_failure(self, record: CallRecord, failure: CallFailed) -> None:
        self._raised.append((record.key, failure))
        self._record(
            replace(record, status=CallStatus.FAILED, error=codec.call_failure(failure), finished_at=utcnow()), None
        )

    def _record(self, record: CallRecord, used: Usage | None) -> None:
        self._journal.records[record.key] = record
        self._deltas.flush()
        lines: list[Any] = []
        if record.kind is CallKind.LLM and used is not None:
            lines.append(events.usage(record.name, used, self._ref))
        elif record.kind is CallKind.TOOL:
            outcome: JsonObject = {"result": record.response} if record.error is None else {"error": record.error}
            lines.append(events.tool_result(record.key, record.name, outcome, self._ref))
        self._context.writer.post(calls=[record], events=lines)

    def _idempotency_key(self, key: str) -> str:
        return f"{self._context.execution_id}:{self._step.node}:{self._step.path}:{key}"
