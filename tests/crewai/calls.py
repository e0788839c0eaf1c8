"""A step's calls with a journal in memory: what the engine's own does, without a database."""

from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import (
    ChatMessage,
    Effect,
    Found,
    KnowledgeRequest,
    ModelInfo,
    ModelReply,
    ModelRequest,
    StepAborted,
    ToolCall,
    ToolSpec,
)
from shared.kit.json import JsonObject, content_hash

MODEL_ID = UUID("01890000-0000-7000-8000-000000000001")

Model = Callable[[ModelRequest], ModelReply | Awaitable[ModelReply]]
Tool = Callable[..., str | Awaitable[str]]


@dataclass
class Journal:
    """Outlives the calls of one attempt, as the real one outlives the worker."""

    answers: dict[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]])
    made: list[str] = field(default_factory=list[str])


@dataclass
class Made:
    """A call to the model, as the step made it."""

    request: ModelRequest
    agent_id: UUID | None

    @property
    def messages(self) -> list[ChatMessage]:
        return list(self.request.messages)

    @property
    def task(self) -> str:
        return self.request.messages[1].content


class MemoryCalls:
    """`die_after` new calls, the next one ends the attempt the way a killed worker would."""

    def __init__(
        self,
        model: Model,
        tools: dict[str, Tool] | None = None,
        *,
        journal: Journal | None = None,
        die_after: int | None = None,
        supports_tools: bool = True,
        context_window: int = 100_000,
        effects: dict[str, Effect] | None = None,
        needing_approval: tuple[str, ...] = (),
    ) -> None:
        self.journal = journal or Journal()
        self.requests: list[Made] = []
        self.tool_requests: list[tuple[str, JsonObject, UUID | None, tuple[UUID, ...]]] = []
        self.approvals: dict[str, bool] = {}
        self.logs: list[str] = []
        self.replayed: list[str] = []
        self._model = model
        self._tools = tools or {}
        self._effects = effects or {}
        self._needing_approval = needing_approval
        self._die_after = die_after
        self._new = 0
        self._info = {"supports_tools": supports_tools, "context_window": context_window}
        self._scope: ContextVar[str] = ContextVar("scope", default="")
        self._ordinals: Counter[str] = Counter()

    @contextmanager
    def scope(self, name: str) -> Generator[None]:
        token = self._scope.set(f"{self._scope.get()}/{name}")
        try:
            yield
        finally:
            self._scope.reset(token)

    async def model(self, request: ModelRequest, *, agent_id: UUID | None = None) -> ModelReply:
        self.requests.append(Made(request, agent_id))
        return await self._journaled("llm", asdict(request), lambda: self._model(request))

    async def tool(
        self,
        name: str,
        arguments: JsonObject,
        *,
        agent_id: UUID | None = None,
        knowledge_base_ids: Sequence[UUID] = (),
        needs_approval: bool | None = None,
    ) -> str:
        self.approvals[name] = bool(needs_approval)
        self.tool_requests.append((name, arguments, agent_id, tuple(knowledge_base_ids)))
        return await self._journaled("tool", [name, arguments], lambda: self._tools[name](**arguments))

    async def _journaled(self, kind: str, request: Any, make: Callable[[], Any]) -> Any:
        where = f"{self._scope.get()}/{kind}"
        key = f"{where}/{self._ordinals[where]}"
        self._ordinals[where] += 1
        request_hash = content_hash(request)
        if key in self.journal.answers:
            recorded_hash, answer = self.journal.answers[key]
            if recorded_hash != request_hash:
                raise StepAborted(f"journal_diverged at {key}")
            self.replayed.append(key)
            return answer
        if self._new == self._die_after:
            raise StepAborted("killed")
        answer = make()
        if isinstance(answer, Awaitable):
            answer = await answer
        self.journal.answers[key] = (request_hash, answer)
        self.journal.made.append(key)
        self._new += 1
        return answer

    async def describe_model(self, model_id: UUID) -> ModelInfo:
        return ModelInfo(id=model_id, name="scripted", **self._info)

    def describe_tool(self, name: str) -> ToolSpec:
        return ToolSpec(
            name=name,
            description=f"The {name} tool",
            parameters={"type": "object"},
            effect=self._effects.get(name, Effect.READ),
            needs_approval=name in self._needing_approval,
        )

    async def knowledge(self, request: KnowledgeRequest) -> Found:
        raise NotImplementedError

    def log(self, level: str, message: str, **data: Any) -> None:
        self.logs.append(message)


def says(text: str) -> ModelReply:
    return ModelReply(text=text)


def calls_for(*calls: tuple[str, JsonObject]) -> ModelReply:
    """A turn of the model that asks for these tools."""
    return ModelReply(
        text="",
        tool_calls=tuple(ToolCall(id=f"call_{n}", name=name, arguments=args) for n, (name, args) in enumerate(calls)),
        finish_reason="tool_calls",
    )


def script(*replies: ModelReply) -> Model:
    """Gives the replies one after the other, whatever is asked."""
    rest = list(replies)
    return lambda request: rest.pop(0)
