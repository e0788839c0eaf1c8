"""Agents, and the way out that steps and agents have."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from services.orchestration.engine.ports.budgets import Budgets
from services.orchestration.engine.ports.ledger import ANYBODY, Audience, Child, WaitRecord
from services.orchestration.engine.ports.models import ModelInfo, ModelReply, ModelRequest, Models, ToolSpec
from services.orchestration.engine.ports.outside import (
    CodeReply,
    CodeRequest,
    Found,
    Http,
    HttpReply,
    HttpRequest,
    Knowledge,
    KnowledgeRequest,
    Passage,
    Sandbox,
    Tools,
)
from shared.kit.json import Json, JsonObject
from shared.workflow.states import WaitKind


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
    # What its knowledge bases are about.
    knowledge: tuple[str, ...] = ()


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
class Citation:
    """What `[number]` stands for in the texts of a result."""

    number: int
    passage: Passage


@dataclass(frozen=True, slots=True)
class CrewResult:
    text: str
    data: Json
    tasks: tuple[TaskResult, ...]
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """`request` is shown to whoever answers. It expires at `due_at`, or `due_in` seconds after it was first made."""

    kind: WaitKind
    title: str
    request: Json
    due_at: datetime | None = None
    due_in: float | None = None
    audience: Audience = ANYBODY
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

    async def knowledge(self, request: KnowledgeRequest) -> Found: ...

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
