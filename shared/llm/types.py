"""What is asked of a language model and what it answers, in words no provider owns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.kit.json import Json, JsonObject


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Tool:
    """`parameters` is the JSON schema of the arguments, an object."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`response_schema` asks for JSON of that schema; None elsewhere means the model's own setting."""

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    response_schema: JsonObject | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """`cost` is in USD."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, self.cost + other.cost
        )


@dataclass(frozen=True, slots=True)
class ChatReply:
    """`data` is the parsed and validated answer where a schema was asked for and no tool was called."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    data: Json = None
    usage: Usage = Usage()
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector of unit length for each text, in order."""

    vectors: list[list[float]]
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Ranked:
    """How well each text answers the query, 0 to 1, in the order the texts were given in."""

    scores: list[float]
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Delta:
    kind: Literal["message", "reasoning"]
    text: str


DeltaSink = Callable[[Delta], None]
