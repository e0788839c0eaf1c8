"""An execution's records, and the ledger that keeps them."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from shared.kit.json import Json, JsonObject
from shared.workflow.states import (
    Action,
    CallKind,
    CallStatus,
    Effect,
    ExecutionStatus,
    StepStatus,
    WaitKind,
    WaitStatus,
)


@dataclass(slots=True)
class StepRecord:
    """One visit of one node. `(node, path)` is unique in an execution; `path` is "" outside loops and maps.

    `attempt` counts tries from 1. `generation` counts from 1 and goes up when a try failed by itself, not by a
    call or by its timeout, so that the next try makes fresh calls instead of replaying those that led to the
    failure. A running step that is tried again has the last try's `error`. `keyed_by` is the execution whose id begins
    the idempotency keys of its calls, if that is another: the one that this one retries.

    Records are never changed once they are in a batch: a new state is a new record.
    """

    id: UUID
    node: str
    type: str
    path: str
    attempt: int
    generation: int
    status: StepStatus
    input: Json = None
    output: Json = None
    error: JsonObject | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    keyed_by: UUID | None = None


@dataclass(slots=True)
class CallRecord:
    """One line of the journal. `(step_id, key)` is unique; `key` is the same when the step is replayed."""

    id: UUID
    step_id: UUID
    key: str
    kind: CallKind
    effect: Effect
    name: str
    request_hash: str
    request: Json
    status: CallStatus
    response: Json = None
    error: JsonObject | None = None
    model_id: UUID | None = None
    agent_id: UUID | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    tries: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom an inbox item is for: one person, or everybody of a role (None: whoever may answer). `escalate_after`
    seconds after it was asked, if it is still open, it goes to the second pair."""

    user_id: UUID | None = None
    role: str | None = None
    escalate_after: float | None = None
    escalate_user_id: UUID | None = None
    escalate_role: str | None = None


ANYBODY = Audience()


@dataclass(frozen=True, slots=True)
class Child:
    """An execution that a step starts and waits for: `spec` is a snapshot like the parent's own."""

    name: str
    spec: JsonObject
    inputs: JsonObject
    workflow_id: UUID | None = None
    workflow_version: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a wait was settled. Of a person: `action`, and what was given with it. Of a child execution: `value` is
    `{"status", "output", "error"}`. Of a timer: nothing."""

    action: Action | None = None
    value: Json = None
    by: UUID | None = None
    at: datetime | None = None


@dataclass(slots=True)
class WaitRecord:
    """Something a step waits for. `(step_id, key)` is unique; `key` is the same when the step is replayed.

    `request` is what is shown to whoever answers, and `request_hash` its hash: an answer holds for nothing else.
    A wait for a child execution has the child's `id`. An open one that is past `due_at` expires.
    """

    id: UUID
    step_id: UUID
    key: str
    kind: WaitKind
    title: str
    request: Json
    request_hash: str
    status: WaitStatus
    created_at: datetime
    due_at: datetime | None = None
    audience: Audience = ANYBODY
    child: Child | None = None
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class StepRef:
    node: str
    path: str
    attempt: int


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One line of the execution's stream; the ledger gives it its `seq` when it is written."""

    type: str
    at: datetime
    data: JsonObject
    step: StepRef | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """The execution leaves `running` and its lease is released: it has ended, or is `queued` for any worker, or is
    `paused`, or is `waiting`. The last becomes `queued` if a wait was settled after the holder looked: `wakes` is
    what `ExecutionState.wakes` or `Ledger.waits` last said.
    """

    status: ExecutionStatus
    output: Json = None
    error: JsonObject | None = None
    wakes: int | None = None


@dataclass(slots=True)
class LedgerBatch:
    """Everything that becomes true together: written in one transaction, fenced by the epoch."""

    steps: list[StepRecord] = field(default_factory=list["StepRecord"])
    calls: list[CallRecord] = field(default_factory=list["CallRecord"])
    events: list[EventRecord] = field(default_factory=list["EventRecord"])
    transition: Transition | None = None
    waits: list[WaitRecord] = field(default_factory=list["WaitRecord"])


@dataclass(slots=True)
class ExecutionState:
    """What a claim loads: the snapshot taken at submit and every recorded step and call."""

    id: UUID
    tenant_id: UUID
    kind: str
    spec: JsonObject
    inputs: JsonObject
    attempts: int
    created_at: datetime
    steps: list[StepRecord]
    calls: list[CallRecord]
    waits: list[WaitRecord] = field(default_factory=list["WaitRecord"])
    # How often a wait of this execution has been settled: see `Transition`.
    wakes: int = 0
    # Made of another execution on purpose, with something changed: records that do not fit any more are dropped.
    forked: bool = False
    # How many executions are above this one.
    depth: int = 0
    # The topmost execution above this one, if there is any.
    root_id: UUID | None = None
    # The limits of this execution, or of the one above it which it shares them with; and how long workers have held it.
    budget: JsonObject | None = None
    active_ms: int = 0


class Ledger(Protocol):
    """One claimed execution's ledger. Writes raise `Superseded` when the epoch is no longer ours."""

    async def load(self) -> ExecutionState: ...

    async def write(self, batch: LedgerBatch) -> None:
        """Returns when the batch is durable."""
        ...

    async def waits(self) -> tuple[int, list[WaitRecord]]:
        """How often a wait has been settled by now, and all waits of the execution as they stand."""
        ...
