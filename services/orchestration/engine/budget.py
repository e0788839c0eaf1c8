"""What one execution may spend: asked before every call, told after it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import (
    Action,
    Audience,
    Budgets,
    CallFailed,
    CallRecord,
    Charge,
    Exceeded,
    ExecutionState,
    ModelInfo,
    ModelRequest,
    Usage,
    WaitKind,
    WaitRecord,
    WaitRequest,
)
from shared.kit.json import JsonObject

# A token is about four characters of text. What a model will answer is not known; this much is taken to be the least.
_CHARACTERS_PER_TOKEN = 4
_ANSWER_TOKENS = 256
_MILLION = 1_000_000

NOTHING = Usage()


def estimate(request: ModelRequest, model: ModelInfo) -> Usage:
    """What a model call may come to use."""
    characters = sum(len(message.content) for message in request.messages)
    asked = characters // _CHARACTERS_PER_TOKEN + 1
    answered = request.max_tokens or _ANSWER_TOKENS
    cost = (asked * model.input_price + answered * model.output_price) / _MILLION
    return Usage(asked, answered, cost)


def estimate_texts(texts: Sequence[str], model: ModelInfo) -> Usage:
    """What it may come to use to embed them."""
    asked = sum(len(text) // _CHARACTERS_PER_TOKEN + 1 for text in texts)
    return Usage(asked, 0, asked * model.input_price / _MILLION)


def key(call: CallRecord) -> str:
    """Where the question is on record, whether the call may be made all the same."""
    return f"{call.key}/budget"


def question(exceeded: Exceeded, call: CallRecord) -> WaitRequest:
    """The tenant's own budgets are those of its admins; that of an execution, of whoever may answer at all."""
    return WaitRequest(
        WaitKind.BUDGET,
        title=f"Let {call.name} exceed the budget {exceeded.name!r}?",
        request={
            "budget": exceeded.name,
            "budget_id": None if exceeded.budget_id is None else str(exceeded.budget_id),
            "limit": exceeded.limit,
            "spent": exceeded.spent,
            "call": {"key": call.key, "kind": call.kind.value, "name": call.name},
        },
        audience=Audience(role="admin" if exceeded.standing else None),
    )


def refusal(exceeded: Exceeded) -> CallFailed:
    return _refused(
        f"the budget {exceeded.name!r} has not enough left for this call",
        {"budget": exceeded.name, "limit": exceeded.limit, "spent": exceeded.spent},
    )


def _refused(message: str, about: JsonObject) -> CallFailed:
    details = {name: about[name] for name in ("budget", "limit", "spent")}
    return CallFailed(message, code="budget_exceeded", source="budget", retryable=False, details=details)


class ExecutionBudget:
    """The execution's own limits, which its children share, and whatever else the tenant limits.

    The time is that in which a worker held the execution: waiting, for a person or in the queue, costs none.
    """

    def __init__(
        self,
        state: ExecutionState,
        port: Budgets,
        clock: Callable[[], float] = time.monotonic,
        *,
        may_ask: bool = True,
    ) -> None:
        """`may_ask` is whether a call may wait for a person's word; else it is refused."""
        own = state.budget or {}
        workflow = state.spec.get("workflow_id")
        self._port = port
        self._tenant_id = state.tenant_id
        self._execution_id = state.id
        self._root_id = state.root_id or state.id
        self._workflow_id = None if workflow is None else UUID(workflow)
        self._own = any(own.get(name) is not None for name in ("tokens", "cost", "calls"))
        self._may_ask = may_ask
        self._asks_a_person = own.get("on_exceeded") == "wait"
        self._time_ms: int | None = own.get("time_ms")
        for wait in state.waits:
            if wait.kind is WaitKind.BUDGET and _accepted(wait):
                self._extend(wait)
        self._earlier_ms = state.active_ms
        self._clock = clock
        self._began = clock()
        # Whether an earlier worker may have left something reserved.
        self._recovers = bool(state.steps)
        self._recovering = asyncio.Lock()

    @property
    def unlimited(self) -> bool:
        """Whether calls need not be reserved: as a rule, and that must cost nothing."""
        limited = self._own or self._recovers or self._time_ms is not None
        return not limited and self._port.unlimited(self._tenant_id)

    async def reserve(self, call: CallRecord, expected: Usage, *, force: bool = False) -> Exceeded | None:
        """None when the call may be made. `force` says that a person has let it pass."""
        exceeded = await self._exceeded(call, expected, force=force)
        return exceeded if exceeded is None or self._may_ask else replace(exceeded, asks_a_person=False)

    async def _exceeded(self, call: CallRecord, expected: Usage, *, force: bool) -> Exceeded | None:
        if self._recovers:
            await self._recover()
        if not force and (late := self._out_of_time()) is not None:
            return late
        charge = Charge(
            call_id=call.id,
            execution_id=self._execution_id,
            root_id=self._root_id,
            own=self._own,
            workflow_id=self._workflow_id,
            agent_id=call.agent_id,
            model_id=call.model_id,
            tokens=expected.input_tokens + expected.output_tokens,
            cost=expected.cost,
        )
        return await self._port.reserve(self._tenant_id, charge, force=force)

    async def _recover(self) -> None:
        """Before anything is reserved: it gives back whatever it finds of this execution."""
        async with self._recovering:
            if self._recovers:
                await self._port.recover(self._tenant_id, self._execution_id)
                self._recovers = False

    def allow(self, wait: WaitRecord) -> None:
        """Takes note of how a person has decided; raises `CallFailed` if the call may not be made."""
        if not _accepted(wait):
            asked: Any = wait.request
            raise _refused(f"the budget {asked['budget']!r} is used up, and a person declined to exceed it", asked)
        self._extend(wait)

    def settle(self, call: CallRecord) -> None:
        """The call was made and this is its record; or it was stopped, and what it used is not known."""
        self._port.settle(self._tenant_id, call.id, Usage(call.input_tokens, call.output_tokens, call.cost))

    def _extend(self, wait: WaitRecord) -> None:
        """More time, as much as was given or without end. Other limits are raised where they are kept."""
        asked: Any = wait.request
        given: Any = (wait.answer and wait.answer.value) or {}
        if "time_ms" in asked["limit"]:
            self._time_ms = given.get("raise", {}).get("time_ms")

    def _out_of_time(self) -> Exceeded | None:
        if self._time_ms is None:
            return None
        spent = self._earlier_ms + round((self._clock() - self._began) * 1000)
        if spent < self._time_ms:
            return None
        limit: JsonObject = {"time_ms": self._time_ms}
        return Exceeded(None, "this execution", False, self._asks_a_person, limit, {"time_ms": spent})


def _accepted(wait: WaitRecord) -> bool:
    return wait.answer is not None and wait.answer.action is Action.ACCEPT


class Unlimited:
    """The port where nothing is limited, as when a journal is only replayed."""

    def unlimited(self, tenant_id: UUID) -> bool:
        return True

    async def reserve(self, tenant_id: UUID, charge: Charge, *, force: bool = False) -> Exceeded | None:
        return None

    def settle(self, tenant_id: UUID, call_id: UUID, used: Usage) -> None:
        return

    async def recover(self, tenant_id: UUID, execution_id: UUID) -> None:
        return
