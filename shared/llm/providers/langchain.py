"""Any LangChain chat model as a provider of ours."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langsmith.run_helpers import tracing_context  # pyright: ignore[reportUnknownVariableType]

from shared.kit.json import JsonObject
from shared.llm import errors
from shared.llm.providers.assembly import Assembly
from shared.llm.types import ChatReply, ChatRequest, DeltaSink, Message, Tool

# A call's own arguments in the words of one provider's chat model.
Arguments = Callable[[ChatRequest], dict[str, Any]]
_FINISH_REASONS = ("finish_reason", "stop_reason", "done_reason", "status")
_WORDS = {
    "STOP": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "MAX_TOKENS": "length",
    "max_tokens": "length",
    "incomplete": "length",
    "tool_use": "tool_calls",
    "SAFETY": "content_filter",
    "refusal": "content_filter",
}


class LangChainChat:
    def __init__(self, label: str, model: BaseChatModel, arguments: Arguments) -> None:
        self._label = label
        self._model = model
        self._arguments = arguments

    async def chat(self, request: ChatRequest, on_delta: DeltaSink | None) -> ChatReply:
        runnable: Any = self._model.bind_tools([_tool(t) for t in request.tools]) if request.tools else self._model
        messages = [_message(m) for m in request.messages]
        arguments = self._arguments(request)
        if request.stop:
            arguments["stop"] = list(request.stop)
        assembly = Assembly(self._label, on_delta)
        try:
            # Without this a variable in the environment would send every prompt to a tracing service.
            with tracing_context(enabled=False):
                if on_delta is None:
                    _take(assembly, await runnable.ainvoke(messages, **arguments))
                else:
                    async for chunk in runnable.astream(messages, **arguments):
                        _take(assembly, chunk)
        except Exception as error:
            raise errors.from_exception(self._label, error) from error
        return assembly.reply()


def _take(assembly: Assembly, message: AIMessage) -> None:
    if reasoning := _reasoning(message):
        assembly.reasoning(reasoning)
    if text := str(message.text):
        assembly.text(text)
    for call in _calls(message):
        assembly.tool_call(*call)
    if usage := message.usage_metadata:
        assembly.add_usage(usage["input_tokens"], usage["output_tokens"])
    metadata = cast(JsonObject, message.response_metadata)
    reason = next((metadata[key] for key in _FINISH_REASONS if metadata.get(key)), None)
    if reason is not None:
        assembly.finish(_WORDS.get(str(reason), str(reason).lower()))


def _calls(message: AIMessage) -> Iterator[tuple[int | None, str | None, str | None, Any]]:
    if isinstance(message, AIMessageChunk):
        for chunk in message.tool_call_chunks:
            yield _position(chunk.get("index")), chunk["id"], chunk["name"], chunk["args"]
        return
    for call in message.tool_calls:
        yield None, call["id"], call["name"], call["args"]
    for broken in message.invalid_tool_calls:
        yield None, broken["id"], broken["name"], broken["args"]


def _position(index: Any) -> int | None:
    """Some models number the pieces of a message by text."""
    with contextlib.suppress(TypeError, ValueError):
        return int(index)
    return None


def _reasoning(message: AIMessage) -> str:
    extra = cast(JsonObject, message.additional_kwargs).get("reasoning_content")
    if isinstance(extra, str):
        return extra
    if isinstance(message.content, str):
        return ""
    blocks = cast(list[Any], message.content)
    return "".join(
        str(cast(JsonObject, block).get("thinking") or "")
        for block in blocks
        if isinstance(block, dict) and cast(JsonObject, block).get("type") == "thinking"
    )


def _message(message: Message) -> BaseMessage:
    match message.role:
        case "system":
            return SystemMessage(message.content)
        case "user":
            return HumanMessage(message.content)
        case "tool":
            return ToolMessage(message.content, tool_call_id=message.tool_call_id or "")
        case "assistant":
            calls = [{"id": call.id, "name": call.name, "args": call.arguments} for call in message.tool_calls]
            return AIMessage(message.content, tool_calls=calls)


def _tool(tool: Tool) -> JsonObject:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def openai_style(request: ChatRequest) -> dict[str, Any]:
    """The arguments that the chat models of OpenAI and Anthropic understand alike."""
    found = sampling(request, "max_tokens")
    if request.response_schema is not None:
        wanted = {"name": "answer", "schema": request.response_schema}
        found["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return found


def sampling(request: ChatRequest, max_tokens_name: str) -> dict[str, Any]:
    given = {"temperature": request.temperature, max_tokens_name: request.max_tokens}
    return {name: value for name, value in given.items() if value is not None}
