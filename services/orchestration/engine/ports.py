"""What the engine needs from the world, and the records it exchanges with it.

The engine imports nothing but these, `shared.kit` and `shared.workflow`; adapters make the ports real.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol
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


class Superseded(Exception):
    """Another worker holds this execution now: this worker's write changed nothing and it must stop."""


class CallFailed(Exception):
    """A call outside the worker failed after the port's own retries. `source` names the provider or tool."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        source: str,
        retryable: bool,
        retry_after: float | None = None,
        details: JsonObject | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.source = source
        self.retryable = retryable
        self.retry_after = retry_after
        self.details: JsonObject = details or {}


class StepFailed(Exception):
    """A step cannot give its output for a reason of its own, such as an answer in the wrong form.

    A further attempt, if the node allows one and `retryable` is true, makes all its calls afresh.
    """

    def __init__(self, message: str, *, code: str, retryable: bool = True, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
        self.details: JsonObject = details or {}


@dataclass(slots=True)
class StepRecord:
    """One visit of one node. `(node, path)` is unique in an execution; `path` is "" outside loops and maps.

    `attempt` counts tries from 1. `generation` counts from 1 and goes up when a try failed by itself, not by a
    call or by its timeout, so that the next try makes fresh calls instead of replaying those that led to the
    failure. A running step that is tried again has the last try's `error`.

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
    audience: Audience = Audience()
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


# --- models -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolSpec:
    name: str
    description: str
    parameters: JsonObject
    effect: Effect
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """`response_schema` asks for JSON of that schema; the reply's `data` holds it parsed and validated."""

    model_id: UUID
    messages: Sequence[ChatMessage]
    tools: Sequence[ToolSpec] = ()
    response_schema: JsonObject | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class ModelReply:
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    data: Json = None
    usage: Usage = Usage()
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of streamed text; `kind` is what a watcher should take it for."""

    kind: Literal["message", "reasoning"]
    text: str


DeltaSink = Callable[[Delta], None]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Prices are USD per million tokens."""

    id: UUID
    name: str
    context_window: int
    supports_tools: bool
    input_price: Decimal = Decimal(0)
    output_price: Decimal = Decimal(0)


class Models(Protocol):
    """Talks to model providers, with the one retry policy inside. Raises `CallFailed`."""

    async def describe(self, tenant_id: UUID, model_id: UUID) -> ModelInfo: ...

    async def complete(self, tenant_id: UUID, request: ModelRequest, on_delta: DeltaSink) -> ModelReply: ...


# --- budgets ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call may come to use, before it is made. `root_id` is the topmost execution's, whose own budget (`own`
    says whether it has one) counts what its children spend too."""

    call_id: UUID
    execution_id: UUID
    root_id: UUID
    own: bool
    workflow_id: UUID | None
    agent_id: UUID | None
    model_id: UUID | None
    tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A budget that has not enough left for a call; limits and what is spent by name: tokens, cost, calls, time_ms.

    A `standing` one is the tenant's, and not for this execution alone.
    """

    budget_id: UUID | None
    name: str
    standing: bool
    asks_a_person: bool
    limit: JsonObject
    spent: JsonObject


class Budgets(Protocol):
    """Holds back what a call may use before it is made, and counts what it did use after it."""

    def unlimited(self, tenant_id: UUID) -> bool:
        """Whether it is known, without looking, that no budget of the tenant's covers any call."""
        ...

    async def reserve(self, tenant_id: UUID, charge: Charge, *, force: bool = False) -> Exceeded | None:
        """None when all is reserved, of every budget that covers the call. A person may have it forced."""
        ...

    def settle(self, tenant_id: UUID, call_id: UUID, used: Usage) -> None:
        """Returns at once; a call that nothing was reserved for may be given too."""
        ...

    async def recover(self, tenant_id: UUID, execution_id: UUID) -> None:
        """Settles what an earlier worker of the execution left reserved."""
        ...


# --- tools and knowledge ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    chunk_id: UUID
    text: str
    score: float
    page: int | None
    start: int
    end: int


class Knowledge(Protocol):
    async def search(
        self, tenant_id: UUID, knowledge_base_ids: Sequence[UUID], query: str, top_k: int, mode: str
    ) -> list[Passage]: ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of its caller. `idempotency_key` is the same whenever this call is repeated.

    `definition` is the snapshot's, of a tool of the tenant's own. An agent is told in words what it asked wrongly;
    a node, which has no `agent_id`, gets a `CallFailed`.
    """

    tenant_id: UUID
    execution_id: UUID
    knowledge_base_ids: Sequence[UUID]
    idempotency_key: str
    definition: JsonObject | None = None
    agent_id: UUID | None = None


class Tools(Protocol):
    """The tools there are: those that come with the product, which `describe` knows, and those that the context of
    the call defines. An unknown name raises `CallFailed` with code `tool_unknown`."""

    def describe(self, name: str) -> ToolSpec: ...

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> str: ...


# --- requests and code ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`connection_id` names a credential of the tenant's, which is bound to its host. `body` is text or JSON. With
    `fail_on_status` an answer of status 400 and up is a failure of the call."""

    method: str
    url: str
    headers: JsonObject
    body: Json
    effect: Effect
    timeout: float
    max_bytes: int
    connection_id: UUID | None = None
    fail_on_status: bool = False


@dataclass(frozen=True, slots=True)
class HttpReply:
    """`data` is the body when it is JSON, `text` is it always."""

    status: int
    headers: JsonObject
    text: str
    data: Json = None


class Http(Protocol):
    """Requests to the outside, through `shared/net`. An answer with any status is an answer, unless the request says
    otherwise; raises `CallFailed` when there is none. `idempotency_key` is sent along unless the effect is `read`."""

    async def send(self, tenant_id: UUID, request: HttpRequest, idempotency_key: str) -> HttpReply: ...


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """Python that defines `main(inputs)`; its answer is what that returns, as JSON."""

    source: str
    inputs: Json
    timeout: float
    memory_mb: int


@dataclass(frozen=True, slots=True)
class CodeReply:
    """`printed` is what the code wrote to its standard output and error, cut to measure."""

    value: Json
    printed: str


class Sandbox(Protocol):
    """Runs code apart from everything. Raises `CallFailed` with `sandbox_missing` where that is not possible."""

    async def run(self, request: CodeRequest) -> CodeReply: ...


# --- agents -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """One agent as snapshotted at submit. `max_iterations` bounds its tool loop. A person is asked before it uses one
    of `approve_tools`, as before it uses a tool that says so itself."""

    id: UUID
    name: str
    role: str
    goal: str
    backstory: str
    model_id: UUID
    system_prompt: str | None = None
    tools: tuple[str, ...] = ()
    knowledge_base_ids: tuple[UUID, ...] = ()
    max_iterations: int = 15
    temperature: float | None = None
    max_tokens: int | None = None
    allow_delegation: bool = False
    approve_tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task, its templates already rendered. `context=None` means all tasks before it (crewAI's rule)."""

    name: str
    description: str
    expected_output: str
    agent: int | None
    context: tuple[int, ...] | None = None
    output_schema: JsonObject | None = None
    markdown: bool = False


@dataclass(frozen=True, slots=True)
class CrewPlan:
    """A hierarchical crew has a `manager`, or a `manager_model_id` that a stock manager runs on."""

    agents: tuple[AgentPlan, ...]
    tasks: tuple[TaskPlan, ...]
    process: Literal["sequential", "hierarchical"] = "sequential"
    manager: AgentPlan | None = None
    manager_model_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class TaskResult:
    name: str
    agent: str
    text: str
    data: Json = None


@dataclass(frozen=True, slots=True)
class CrewResult:
    text: str
    data: Json
    tasks: tuple[TaskResult, ...]


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """`request` is shown to whoever answers. It expires at `due_at`, or `due_in` seconds after it was first made."""

    kind: WaitKind
    title: str
    request: Json
    due_at: datetime | None = None
    due_in: float | None = None
    audience: Audience = Audience()
    child: Child | None = None


class StepCalls(Protocol):
    """The journaled way out of a step. Everything a step or an agent does to the world goes through here.

    Calls made inside `scope(name)` are keyed apart, so that work that runs side by side within one step
    (an agent's parallel tools, crew tasks) keeps the same keys on replay. Scopes follow the asyncio task.
    """

    def scope(self, name: str) -> Any:
        """A context manager."""
        ...

    async def model(self, request: ModelRequest, *, agent_id: UUID | None = None) -> ModelReply: ...

    async def describe_model(self, model_id: UUID) -> ModelInfo: ...

    def describe_tool(self, name: str) -> ToolSpec: ...

    async def tool(
        self,
        name: str,
        arguments: JsonObject,
        *,
        agent_id: UUID | None = None,
        knowledge_base_ids: Sequence[UUID] = (),
        needs_approval: bool | None = None,
    ) -> str:
        """`needs_approval` says whether a person is asked first; None leaves it to the tool."""
        ...

    async def knowledge(
        self, knowledge_base_ids: Sequence[UUID], query: str, top_k: int, mode: str
    ) -> list[Passage]: ...

    async def http(self, request: HttpRequest) -> HttpReply: ...

    async def code(self, request: CodeRequest) -> CodeReply: ...

    async def wait(self, request: WaitRequest) -> WaitRecord:
        """The settled wait (`answered` or `expired`), if it is on record. Else the step is suspended: this raises
        `StepSuspended`, and the step's code runs again, from its start, when somebody has answered."""
        ...

    def log(self, level: Literal["debug", "info", "warning", "error"], message: str, **data: Any) -> None: ...


class AgentRuntime(Protocol):
    """Runs a crew to its end. Made by `runtimes/`; an agent_task is a crew of one agent and one task."""

    async def run_crew(self, plan: CrewPlan, calls: StepCalls) -> CrewResult: ...


@dataclass(frozen=True, slots=True)
class Outside:
    """All that the engine reaches the world by."""

    models: Models
    tools: Tools
    knowledge: Knowledge
    agents: AgentRuntime
    http: Http
    sandbox: Sandbox
    budgets: Budgets


class StepAborted(BaseException):
    """Stops a step from inside an agent library that swallows `Exception` (cancel, park, divergence).

    A BaseException on purpose: crewAI catches `Exception` and feeds it to the model as a tool error.
    """
