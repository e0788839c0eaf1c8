"""How an execution, its steps, its calls and its events look over the wire, whichever service answers with them."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, computed_field, model_validator

from shared.executions.retention import Pruned
from shared.kit.json import JsonObject
from shared.web.schemas import Money, RequestModel, ResponseModel, Timestamp
from shared.workflow.states import (
    CallKind,
    CallStatus,
    Effect,
    ExecutionKind,
    ExecutionStatus,
    Lane,
    Origin,
    StepStatus,
)

# The higher, the sooner, among what the tenant has queued.
Priority = Annotated[int, Field(ge=-10, le=10)]

BudgetCount = Annotated[int, Field(ge=0, le=10**15)]
BudgetCost = Annotated[Decimal, Field(ge=0, le=10**8, decimal_places=9, description="In USD.")]


class BudgetGiven(RequestModel):
    """What one execution, with all that it starts, may spend. A call that would exceed it is not made: its step fails,
    or waits for a person to let it pass. `time_ms` is the time in which a worker holds the execution."""

    tokens: BudgetCount | None = None
    cost: BudgetCost | None = None
    calls: BudgetCount | None = None
    time_ms: BudgetCount | None = None
    on_exceeded: Literal["fail", "wait"] = "fail"

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.tokens is None and self.cost is None and self.calls is None and self.time_ms is None:
            raise ValueError("give at least one limit: tokens, cost, calls or time_ms")
        return self

    def as_json(self) -> JsonObject:
        return self.model_dump(mode="json", exclude_none=True)


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)


class Failure(ResponseModel):
    """Why an execution, a step or a call ended badly. What more is known comes as further fields: `retryable`, `node`,
    `source` (the provider or tool), `call`, `details`; `running_steps` where the workers died of the execution."""

    model_config = ConfigDict(from_attributes=True, extra="allow")

    code: str
    message: str


class _Timed(ResponseModel):
    started_at: Timestamp | None
    finished_at: Timestamp | None

    @computed_field
    @property
    def duration_ms(self) -> int | None:
        """From the first start to the end; null before the end."""
        return _milliseconds(self.started_at, self.finished_at)


class ExecutionSummary(_Timed):
    """An execution as lists show it: without what may be large.

    `parent_id` is the execution whose step started it, `root_id` the topmost above it, `depth` how many are above it.
    `origin_id` is the execution that it is a re-run, a retry or a fork of. `pruned` is what of it was removed because
    the tenant's policy does not keep it any longer.
    """

    id: UUID
    kind: ExecutionKind
    lane: Lane
    name: str
    status: ExecutionStatus
    priority: int
    workflow_id: UUID | None
    workflow_version: int | None
    agent_id: UUID | None
    parent_id: UUID | None
    root_id: UUID | None
    depth: int
    origin: Origin | None
    origin_id: UUID | None
    trigger_id: UUID | None
    attempts: int
    input_tokens: int
    output_tokens: int
    cost: Money
    call_count: int
    error: Failure | None
    correlation_id: str | None
    created_by: UUID | None
    created_at: Timestamp
    cancel_requested_at: Timestamp | None
    pruned: Annotated[list[Pruned], BeforeValidator(lambda pruned: pruned or [])]
    pause_requested_at: Timestamp | None


class ExecutionOut(ExecutionSummary):
    inputs: dict[str, Any]
    output: Any
    budget: dict[str, Any] | None


class StepOut(_Timed):
    """One visit of a node. `name` is the node's, as it was called when the execution was started."""

    id: UUID
    node: str
    name: str
    type: str
    path: str
    attempt: int
    status: StepStatus
    input: Any
    output: Any
    error: Failure | None


class CallSummary(_Timed):
    """One line of the journal without what was said. `copied`: it was made, and paid, in the execution that this one
    was made of."""

    id: UUID
    step_id: UUID
    key: str
    kind: CallKind
    effect: Effect
    name: str
    model_id: UUID | None
    agent_id: UUID | None
    status: CallStatus
    error: Failure | None
    input_tokens: int
    output_tokens: int
    cost: Money
    tries: int
    copied: bool


class CallOut(CallSummary):
    request: Any
    response: Any


class EventStep(ResponseModel):
    node: str
    path: str
    attempt: int


class EventOut(ResponseModel):
    """One line of an execution's stream, in the same shape wherever it is read."""

    seq: int
    type: str
    at: Timestamp
    step: EventStep | None
    data: dict[str, Any]
