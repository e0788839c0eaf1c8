"""Tool calls for models that have none: the choice of a tool is asked for as structured output.

The model is held to a JSON schema that is one of `{"name": <tool>, "arguments": <its arguments>}`, with one more
tool that stands for answering. What it picks is turned back into a tool call, or into the answer's text.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import orjson

from shared.kit.json import JsonObject
from shared.llm import errors
from shared.llm.providers.answer_stream import FINAL_ANSWER, AnswerStream
from shared.llm.providers.base import ChatProvider
from shared.llm.types import ChatReply, ChatRequest, Delta, DeltaSink, Message, Tool, ToolCall

_ANSWER_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


class SchemaTools:
    """Wraps a provider; requests without tools pass through unchanged."""

    def __init__(self, inner: ChatProvider, label: str) -> None:
        self._inner = inner
        self._label = label

    async def chat(self, request: ChatRequest, on_delta: DeltaSink | None) -> ChatReply:
        if not request.tools:
            return await self._inner.chat(_without_tools(request), on_delta)
        sink = AnswerStream(on_delta) if on_delta and request.response_schema is None else None
        reply = await self._inner.chat(_as_schema(request), sink.take if sink else _ignore if on_delta else None)
        return self._converted(request, reply)

    def _converted(self, request: ChatRequest, reply: ChatReply) -> ChatReply:
        name, arguments = self._choice(reply)
        if name != FINAL_ANSWER:
            if name not in {tool.name for tool in request.tools}:
                raise errors.bad_output(self._label, f"the model chose a tool that was not offered: {name!r}")
            earlier = sum(len(message.tool_calls) for message in request.messages)
            call = ToolCall(f"call_{earlier + 1}", name, arguments)
            return replace(reply, text="", tool_calls=(call,), finish_reason="tool_calls")
        if request.response_schema is not None:
            return replace(reply, text=orjson.dumps(arguments).decode())
        return replace(reply, text=str(arguments.get("text", "")))

    def _choice(self, reply: ChatReply) -> tuple[str, JsonObject]:
        try:
            chosen: Any = orjson.loads(reply.text)
            name, arguments = chosen["name"], chosen["arguments"]
        except (orjson.JSONDecodeError, LookupError, TypeError) as error:
            cut = "its answer was cut off at max_tokens" if reply.finish_reason == "length" else "no JSON"
            raise errors.bad_output(
                self._label, f"the model did not choose a tool in the form asked for: {cut}"
            ) from error
        if not isinstance(arguments, dict):
            raise errors.bad_output(self._label, f"the model gave {name!r} arguments that are no object")
        return str(name), cast(JsonObject, arguments)


def _ignore(_: Delta) -> None:
    """Streams without showing: the raw text of a choice is nothing to read."""


def _as_schema(request: ChatRequest) -> ChatRequest:
    answer = request.response_schema or _ANSWER_SCHEMA
    options = [_option(tool.name, tool.parameters) for tool in request.tools]
    options.append(_option(FINAL_ANSWER, answer))
    definitions = _lifted_definitions(options)
    schema: JsonObject = {"anyOf": options, **({"$defs": definitions} if definitions else {})}
    messages = [Message("system", _instructions(request.tools)), *_as_text(request.messages)]
    return replace(request, messages=_merged_system(messages), tools=(), response_schema=schema)


def _option(name: str, arguments: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _lifted_definitions(options: list[JsonObject]) -> JsonObject:
    """Moves each tool's `$defs` to the root, where its references point, under names of their own."""
    lifted: JsonObject = {}
    for index, option in enumerate(options):
        arguments: JsonObject = option["properties"]["arguments"]
        own: JsonObject = arguments.get("$defs") or {}
        if own:
            rest = {key: value for key, value in arguments.items() if key != "$defs"}
            option["properties"]["arguments"] = _rename_references(rest, index)
            lifted |= {f"{index}.{name}": _rename_references(schema, index) for name, schema in own.items()}
    return lifted


def _rename_references(part: Any, index: int) -> Any:
    if isinstance(part, dict):
        entries = cast(JsonObject, part)
        return {
            key: _reference(value, index) if key == "$ref" else _rename_references(value, index)
            for key, value in entries.items()
        }
    if isinstance(part, list):
        return [_rename_references(item, index) for item in cast(list[Any], part)]
    return part


def _reference(value: Any, index: int) -> Any:
    return re.sub(r"^#/\$defs/", f"#/$defs/{index}.", value) if isinstance(value, str) else value


def _instructions(tools: Sequence[Tool]) -> str:
    lines = [f"- {tool.name}({', '.join(tool.parameters.get('properties', {}))}): {tool.description}" for tool in tools]
    return (
        'You act by answering with one JSON object {"name": ..., "arguments": {...}} that names exactly one tool:\n'
        + "\n".join(lines)
        + f"\n- {FINAL_ANSWER}: gives your answer. Use it as soon as you can answer, or when no other tool is needed."
    )


def _merged_system(messages: list[Message]) -> list[Message]:
    """One system message at the front: templates of small models know no other place for it."""
    system = "\n\n".join(m.content for m in messages if m.role == "system" and m.content)
    return [Message("system", system), *(m for m in messages if m.role != "system")]


def _without_tools(request: ChatRequest) -> ChatRequest:
    if not any(message.tool_calls or message.role == "tool" for message in request.messages):
        return request
    return replace(request, messages=_as_text(request.messages))


def _as_text(messages: Sequence[Message]) -> list[Message]:
    """Earlier tool calls and their results, told the way this model makes and sees them."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    told: list[Message] = []
    for message in messages:
        if message.role == "tool":
            name = names.get(message.tool_call_id or "", "the tool")
            told.append(Message("user", f"Result of {name}:\n{message.content}"))
        elif message.tool_calls:
            calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
            text = "\n".join(orjson.dumps(call).decode() for call in calls)
            told.append(Message("assistant", f"{message.content}\n{text}" if message.content else text))
        else:
            told.append(message)
    return told
