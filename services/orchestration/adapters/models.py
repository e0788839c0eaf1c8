"""The engine's port to language models, over the tenant's records and `shared/llm`."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from services.orchestration.engine import ports
from shared.database.away import outlast
from shared.database.session import Database, Scope
from shared.database.tables.models import Model
from shared.llm.cache import Cache
from shared.llm.client import LanguageModels
from shared.llm.config import ModelConfig
from shared.llm.errors import ProviderError
from shared.llm.records import model_config
from shared.llm.types import ChatReply, ChatRequest, Delta, Message, Tool, ToolCall, Usage
from shared.security.encryption import CannotDecrypt, Cipher

_MOST_RECORDS = 1000
# How long a changed key or setting may take to reach calls. A crew asks for its model several times a second.
_FRESH_SECONDS = 5.0

_Key = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class _Known:
    config: ModelConfig
    until: float


class ProviderModels:
    """Implements `ports.Models`. Used from one event loop."""

    def __init__(
        self,
        database: Database,
        cipher: Cipher,
        models: LanguageModels,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._models = models
        self._clock = clock
        self._known: Cache[_Key, _Known] = Cache(_MOST_RECORDS)
        self._loading: dict[_Key, asyncio.Task[ModelConfig]] = {}

    async def describe(self, tenant_id: UUID, model_id: UUID) -> ports.ModelInfo:
        config = await self._config(tenant_id, model_id)
        price = config.price
        return ports.ModelInfo(
            config.id, config.name, config.context_window, config.supports_tools, price.input, price.output
        )

    async def complete(
        self, tenant_id: UUID, request: ports.ModelRequest, on_delta: ports.DeltaSink
    ) -> ports.ModelReply:
        config = await self._config(tenant_id, request.model_id)

        def show(delta: Delta) -> None:
            on_delta(ports.Delta(delta.kind, delta.text))

        async def load_fallback(model_id: UUID) -> ModelConfig | None:
            try:
                return await self._config(tenant_id, model_id)
            except ports.CallFailed:
                return None

        try:
            reply = await self._models.complete(config, _asked(request), show, load_fallback=load_fallback)
        except ProviderError as error:
            raise _failed(error, config) from error
        return _answered(reply)

    async def embed(self, tenant_id: UUID, model_id: UUID, texts: Sequence[str]) -> ports.Embeddings:
        config = await self._config(tenant_id, model_id)
        try:
            found = await self._models.embed(config, texts)
        except ProviderError as error:
            raise _failed(error, config) from error
        return ports.Embeddings(found.vectors, _used(found.usage))

    async def _config(self, tenant_id: UUID, model_id: UUID) -> ModelConfig:
        key = (tenant_id, model_id)
        known = self._known.get(key)
        if known is not None and known.until > self._clock():
            return known.config
        # All who ask meanwhile wait for the one query.
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.create_task(self._load(tenant_id, model_id))
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        config = await asyncio.shield(loading)
        self._known.put(key, _Known(config, self._clock() + _FRESH_SECONDS))
        return config

    async def _load(self, tenant_id: UUID, model_id: UUID) -> ModelConfig:
        row = await outlast(lambda: self._read(tenant_id, model_id))
        if row is None:
            raise _unusable("model_missing", f"The model {model_id} does not exist any more.")
        try:
            return model_config(row, self._cipher)
        except CannotDecrypt as error:
            message = f"The API key of the model {row.name!r} cannot be decrypted: enter it again."
            raise _unusable("model_key_unreadable", message) from error

    async def _read(self, tenant_id: UUID, model_id: UUID) -> Model | None:
        async with self._database.read(Scope(tenant_id=tenant_id)) as session:
            return await session.scalar(select(Model).where(Model.id == model_id))


def _unusable(code: str, message: str) -> ports.CallFailed:
    return ports.CallFailed(message, code=code, source="models", retryable=False)


def _failed(error: ProviderError, config: ModelConfig) -> ports.CallFailed:
    return ports.CallFailed(
        str(error),
        code=error.code,
        source=error.provider,
        retryable=error.retryable,
        retry_after=error.retry_after,
        details={"model": config.name, "status": error.status},
    )


def _asked(request: ports.ModelRequest) -> ChatRequest:
    return ChatRequest(
        messages=[_message(message) for message in request.messages],
        tools=[Tool(tool.name, tool.description, tool.parameters) for tool in request.tools],
        response_schema=request.response_schema,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        stop=request.stop,
    )


def _message(message: ports.ChatMessage) -> Message:
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in message.tool_calls)
    return Message(message.role, message.content, calls, message.tool_call_id)


def _answered(reply: ChatReply) -> ports.ModelReply:
    return ports.ModelReply(
        text=reply.text,
        tool_calls=tuple(ports.ToolCall(call.id, call.name, call.arguments) for call in reply.tool_calls),
        reasoning=reply.reasoning,
        data=reply.data,
        usage=_used(reply.usage),
        finish_reason=reply.finish_reason,
    )


def _used(usage: Usage) -> ports.Usage:
    return ports.Usage(usage.input_tokens, usage.output_tokens, usage.cost)


# --- for jobs, which speak in the words of `shared/llm` -----------------------------------------------------


def model_request(model_id: UUID, request: ChatRequest) -> ports.ModelRequest:
    """What a job asks offers no tools: nobody would run them."""
    return ports.ModelRequest(
        model_id=model_id,
        messages=[ports.ChatMessage(message.role, message.content) for message in request.messages],
        response_schema=request.response_schema,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        stop=request.stop,
    )


def chat_reply(reply: ports.ModelReply) -> ChatReply:
    usage = Usage(reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cost)
    return ChatReply(
        reply.text, reasoning=reply.reasoning, data=reply.data, usage=usage, finish_reason=reply.finish_reason
    )
