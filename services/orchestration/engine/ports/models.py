"""Language models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol
from uuid import UUID

from shared.kit.json import Json, JsonObject
from shared.workflow.states import Effect


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
class Embeddings:
    """A vector of unit length for each text."""

    vectors: list[list[float]]
    usage: Usage = Usage()


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

    async def embed(self, tenant_id: UUID, model_id: UUID, texts: Sequence[str]) -> Embeddings: ...
