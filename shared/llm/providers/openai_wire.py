"""The chat completions API, spoken straight over aiohttp.

A lean path for the servers that get most of the calls: it costs a tenth of the CPU of a chat model object
(see docs/decisions/lean-chat-completions.md). Providers with dialects of their own go through LangChain.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

import aiohttp
import orjson

from shared.kit.json import JsonObject
from shared.llm import errors
from shared.llm.providers.assembly import Assembly
from shared.llm.providers.base import MAX_ANSWER_BYTES, Connection
from shared.llm.providers.sse import EventTooLarge, SseParser
from shared.llm.settings import OpenAICompatibleSettings
from shared.llm.structured import schema_instructions
from shared.llm.types import ChatReply, ChatRequest, DeltaSink, Message, Tool

_CONNECT_SECONDS = 15.0
_MAX_ERROR_BYTES = 16 * 1024
_NOTHING: Final[JsonObject] = {}


class OpenAIWire:
    def __init__(self, connection: Connection) -> None:
        config = connection.config
        self._label = config.label
        self._model = connection.model
        self._session = connection.session
        self._secret = connection.api_key
        self._url = f"{connection.base_url}/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if connection.api_key:
            self._headers["Authorization"] = f"Bearer {connection.api_key}"
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=config.settings.timeout_seconds
        )
        settings = config.settings
        compatible = isinstance(settings, OpenAICompatibleSettings)
        self._structured = settings.structured_output if compatible else "json_schema"
        self._stream_usage = settings.stream_usage if compatible else True

    async def chat(self, request: ChatRequest, on_delta: DeltaSink | None) -> ChatReply:
        body = orjson.dumps(self._body(request, stream=on_delta is not None))
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                if on_delta is not None and "event-stream" in response.headers.get("Content-Type", ""):
                    return await self._streamed(response, on_delta)
                return await self._whole(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise errors.from_exception(self._label, error) from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> errors.ProviderError:
        body = await response.content.read(_MAX_ERROR_BYTES)
        retry_after = response.headers.get("Retry-After")
        return errors.from_status(self._label, response.status, body, retry_after, secret=self._secret)

    async def _streamed(self, response: aiohttp.ClientResponse, on_delta: DeltaSink) -> ChatReply:
        assembly = Assembly(self._label, on_delta)
        parser = SseParser()
        received = 0
        async for chunk in response.content.iter_any():
            received += len(chunk)
            self._bound(received)
            try:
                for data in parser.feed(chunk):
                    if data == b"[DONE]":
                        return assembly.reply()
                    self._take(assembly, orjson.loads(data))
            except (orjson.JSONDecodeError, EventTooLarge, LookupError, TypeError, AttributeError) as error:
                raise errors.garbage(self._label, "a broken event") from error
        return assembly.reply()

    async def _whole(self, response: aiohttp.ClientResponse) -> ChatReply:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            self._bound(len(body))
        assembly = Assembly(self._label, None)
        try:
            self._take(assembly, orjson.loads(body))
        except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
            raise errors.garbage(self._label, "no chat completion") from error
        return assembly.reply()

    def _bound(self, received: int) -> None:
        if received > MAX_ANSWER_BYTES:
            raise errors.garbage(self._label, f"more than {MAX_ANSWER_BYTES} bytes")

    def _late_failure(self, failure: Any) -> errors.ProviderError:
        """Some servers notice their trouble only after the 200 is out."""
        code: Any = cast(JsonObject, failure).get("code") if isinstance(failure, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return errors.from_status(self._label, status, orjson.dumps({"error": failure}), None, secret=self._secret)

    def _take(self, assembly: Assembly, event: Any) -> None:
        if failure := event.get("error"):
            raise self._late_failure(failure)
        if usage := event.get("usage"):
            assembly.usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))
        if choices := event["choices"]:
            choice = choices[0]
            piece: Any = choice.get("delta") or choice.get("message") or _NOTHING
            if reasoning := piece.get("reasoning_content") or piece.get("reasoning"):
                assembly.reasoning(reasoning)
            if text := piece.get("content"):
                assembly.text(text)
            for call in piece.get("tool_calls") or ():
                function: Any = call.get("function") or _NOTHING
                assembly.tool_call(call.get("index"), call.get("id"), function.get("name"), function.get("arguments"))
            assembly.finish(choice.get("finish_reason"))

    def _body(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        messages = [_message(m) for m in request.messages]
        body: JsonObject = {"model": self._model, "messages": messages}
        if stream:
            body["stream"] = True
            if self._stream_usage:
                body["stream_options"] = {"include_usage": True}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools:
            body["tools"] = _tools(request.tools)
        if request.response_schema is not None:
            self._ask_for_json(body, messages, request.response_schema)
        return body

    def _ask_for_json(self, body: JsonObject, messages: list[JsonObject], schema: JsonObject) -> None:
        if self._structured == "json_schema":
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
            return
        messages.append({"role": "system", "content": schema_instructions(schema)})
        if self._structured == "json_object":
            body["response_format"] = {"type": "json_object"}


def _message(message: Message) -> JsonObject:
    found: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found


def _tools(tools: Sequence[Tool]) -> list[JsonObject]:
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]
