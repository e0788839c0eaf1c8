"""What one execution may spend: asked before every call, told after it."""

import time
from collections.abc import Callable
from uuid import UUID

from services.orchestration.engine.ports import (
    Budgets,
    CallRecord,
    Charge,
    Exceeded,
    ExecutionState,
    ModelInfo,
    ModelRequest,
    Usage,
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


class ExecutionBudget:
    """The execution's own limits, which its children share, and whatever else the tenant limits.

    The time is that in which a worker held the execution: waiting, for a person or in the queue, costs none.
    """

    def __init__(self, state: ExecutionState, port: Budgets, clock: Callable[[], float] = time.monotonic) -> None:
        own = state.budget or {}
        workflow = state.spec.get("workflow_id")
        self._port = port
        self._tenant_id = state.tenant_id
        self._execution_id = state.id
        self._root_id = state.root_id or state.id
        self._workflow_id = None if workflow is None else UUID(workflow)
        self._own = any(own.get(name) is not None for name in ("tokens", "cost", "calls"))
        self._asks_a_person = own.get("on_exceeded") == "wait"
        self._time_ms: int | None = own.get("time_ms")
        self._earlier_ms = state.active_ms
        self._clock = clock
        self._began = clock()
        # Whether an earlier worker may have left something reserved.
        self._recovers = bool(state.steps)

    async def reserve(self, call: CallRecord, expected: Usage, *, force: bool = False) -> Exceeded | None:
        """None when the call may be made. `force` says that a person has let it pass."""
        if self._recovers:
            self._recovers = False
            await self._port.recover(self._tenant_id, self._execution_id)
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

    def settle(self, call: CallRecord) -> None:
        """The call was made and this is its record."""
        self._port.settle(self._tenant_id, call.id, Usage(call.input_tokens, call.output_tokens, call.cost))

    def _out_of_time(self) -> Exceeded | None:
        if self._time_ms is None:
            return None
        spent = self._earlier_ms + round((self._clock() - self._began) * 1000)
        if spent < self._time_ms:
            return None
        limit: JsonObject = {"time_ms": self._time_ms}
        return Exceeded(None, "this execution", self._asks_a_person, limit, {"time_ms": spent})


class Unlimited:
    """The port where nothing is limited, as when a journal is only replayed."""

    async def reserve(self, tenant_id: UUID, charge: Charge, *, force: bool = False) -> Exceeded | None:
        return None

    def settle(self, tenant_id: UUID, call_id: UUID, used: Usage) -> None:
        return

    async def recover(self, tenant_id: UUID, execution_id: UUID) -> None:
        return
