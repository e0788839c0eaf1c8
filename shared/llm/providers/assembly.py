"""A reply put together from its pieces, whole or streamed."""

from dataclasses import dataclass
from typing import Any, cast

import orjson

from shared.kit.json import JsonObject
from shared.llm import errors
from shared.llm.types import ChatReply, Delta, DeltaSink, ToolCall, Usage

# Of one answer: no model reads or writes as much.
_MOST_TOKENS = 100_000_000


@dataclass(slots=True)
class _PartialCall:
    id: str = ""
    name: str = ""
    arguments: str = ""


class Assembly:
    """Takes the pieces in the order they arrive and passes text on as deltas."""

    def __init__(self, label: str, on_delta: DeltaSink | None) -> None:
        self._label = label
        self._on_delta = on_delta
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _PartialCall] = {}
        self._finish_reason: str | None = None
        self._usage = Usage()

    def text(self, piece: str) -> None:
        _require_text(piece)
        self._text.append(piece)
        if self._on_delta:
            self._on_delta(Delta("message", piece))

    def reasoning(self, piece: str) -> None:
        _require_text(piece)
        self._reasoning.append(piece)
        if self._on_delta:
            self._on_delta(Delta("reasoning", piece))

    def tool_call(self, index: int | None, id: str | None, name: str | None, arguments: Any) -> None:
        """A piece of a call. Servers that give no index send each call whole."""
        call = self._calls.setdefault(len(self._calls) if index is None else index, _PartialCall())
        call.id = id or call.id
        call.name = name or call.name
        if arguments:
            # Some servers send the object itself instead of its text.
            call.arguments += arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()

    def usage(self, input_tokens: Any, output_tokens: Any) -> None:
        self._usage = Usage(_count(input_tokens), _count(output_tokens))

    def add_usage(self, input_tokens: Any, output_tokens: Any) -> None:
        """For providers that tell it in instalments."""
        known = self._usage
        self.usage(known.input_tokens + _count(input_tokens), known.output_tokens + _count(output_tokens))

    def finish(self, reason: str | None) -> None:
        self._finish_reason = reason or self._finish_reason

    def reply(self) -> ChatReply:
        """Raises `ProviderError` where the answer broke off: a finish reason is how a provider says it is whole."""
        if self._finish_reason is None:
            raise errors.truncated(self._label)
        return ChatReply(
            text="".join(self._text),
            tool_calls=tuple(self._call(n, call) for n, call in enumerate(self._calls.values())),
            reasoning="".join(self._reasoning),
            usage=self._usage,
            finish_reason=self._finish_reason,
        )

    def _call(self, position: int, call: _PartialCall) -> ToolCall:
        if not call.name:
            raise errors.bad_output(self._label, "the model called a tool without naming it")
        return ToolCall(call.id or f"call_{position}", call.name, self._arguments(call))

    def _arguments(self, call: _PartialCall) -> JsonObject:
        try:
            arguments: Any = orjson.loads(call.arguments or "{}")
        except orjson.JSONDecodeError:
            arguments = None
        if not isinstance(arguments, dict):
            raise errors.bad_output(
                self._label, f"the model called {call.name!r} with arguments that are no JSON object"
            )
        return cast(JsonObject, arguments)


def _count(told: Any) -> int:
    """A server may tell anything. Less than nothing would be given back to budgets, too much could not be kept."""
    return min(max(told, 0), _MOST_TOKENS) if isinstance(told, int) else 0


def _require_text(piece: Any) -> None:
    if not isinstance(piece, str):
        raise TypeError(f"expected text, got {type(piece).__name__}")
