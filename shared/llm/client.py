"""The one place that talks to models."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import aiohttp

from shared.kit.logging import get_logger
from shared.kit.settings import Settings
from shared.llm import errors, retry
from shared.llm.cache import Cache
from shared.llm.circuit import Circuit, CircuitLimits
from shared.llm.config import ModelConfig
from shared.llm.deltas import ResumingSink
from shared.llm.errors import ProviderError
from shared.llm.providers.base import ChatProvider
from shared.llm.providers.registry import LocalEndpoint, endpoint_of, open_provider, open_vector_provider
from shared.llm.providers.vector_wire import VectorProvider
from shared.llm.retry import RetryPolicy
from shared.llm.settings import ModelKind
from shared.llm.structured import AnswerInvalid, SchemaUnusable, parse_answer, repair_instructions, require_usable
from shared.llm.types import ChatReply, ChatRequest, DeltaSink, Embedded, Message, Ranked, Usage
from shared.llm.vectors import batches
from shared.net.policy import EgressPolicy, parse_url
from shared.net.session import open_session

log = get_logger(__name__)

_MOST_PROVIDERS = 500
_MOST_CIRCUITS = 2000

T = TypeVar("T")

# Gives the record of a fallback model, or None where it is gone.
FallbackLoader = Callable[[UUID], Awaitable[ModelConfig | None]]


@dataclass(slots=True)
class _Loop:
    """What belongs to one event loop: connections cannot be shared between two."""

    session: aiohttp.ClientSession
    providers: Cache[tuple[UUID, int], ChatProvider]
    vectors: Cache[tuple[UUID, int], VectorProvider]
    circuits: Cache[tuple[UUID, str], Circuit]


@dataclass(frozen=True, slots=True)
class _Call:
    sink: ResumingSink | None
    policy: RetryPolicy


class LanguageModels:
    """One per process. Any event loop may use it and gets connections, clients and circuits of its own."""

    def __init__(
        self,
        policy: EgressPolicy,
        local: LocalEndpoint | None = None,
        *,
        retry_policy: RetryPolicy | None = None,
        circuit_limits: CircuitLimits | None = None,
    ) -> None:
        self._policy = policy
        self._local = local or LocalEndpoint()
        self._retry_policy = retry_policy or RetryPolicy()
        self._circuit_limits = circuit_limits or CircuitLimits()
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()

    @classmethod
    def from_settings(cls, settings: Settings) -> "LanguageModels":
        local = LocalEndpoint(settings.llm_base_url, settings.llm_api_key.get_secret_value(), settings.llm_model)
        return cls(EgressPolicy.from_setting(settings.allowed_hosts, settings.llm_base_url), local)

    @property
    def has_local_model(self) -> bool:
        """Whether this installation runs a model of its own."""
        return bool(self._local.base_url)

    def check_url(self, url: str) -> None:
        """Refuses, without a connection, an address that no call would be let through to. Raises `UrlRefused`."""
        self._policy.check_url(url)

    async def close(self) -> None:
        """Closes the connections of the running event loop."""
        state = self._loops.pop(asyncio.get_running_loop(), None)
        if state is not None:
            await state.session.close()

    async def complete(
        self,
        config: ModelConfig,
        request: ChatRequest,
        on_delta: DeltaSink | None = None,
        *,
        load_fallback: FallbackLoader | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> ChatReply:
        """One answer, after retries and, with `load_fallback`, after the record's fallback models.

        With `on_delta` the answer is streamed; what was passed on is never passed on again by a retry.
        `retry_policy` takes the place of the usual one. Raises `ProviderError`: that of the model asked first,
        when the fallbacks fail too.
        """
        if request.response_schema is not None:
            _check_schema(config, request)
        call = _Call(ResumingSink(on_delta) if on_delta else None, retry_policy or self._retry_policy)
        try:
            return await self._complete(config, request, call)
        except ProviderError as error:
            if load_fallback is None or not error.retryable:
                raise
            reply = await self._fall_back(config, request, call, load_fallback)
            if reply is None:
                raise
            return reply

    async def embed(
        self, config: ModelConfig, texts: Sequence[str], *, retry_policy: RetryPolicy | None = None
    ) -> Embedded:
        """A vector of unit length for each text, all of one dimension, after retries. Raises `ProviderError`.

        Many texts are several requests, one after the other: what an earlier one cost is not told when a later fails.
        """
        _require_kind(config, ModelKind.EMBEDDING)
        provider = self._vector_provider(config)
        vectors: list[list[float]] = []
        usage = Usage()
        for batch in batches(texts):
            found = await self._tried(config, lambda batch=batch: provider.embed(batch), retry_policy)
            vectors += found.vectors
            usage += found.usage
        return Embedded(vectors, config.price.of(usage.input_tokens, 0))

    async def rerank(
        self, config: ModelConfig, query: str, texts: Sequence[str], *, retry_policy: RetryPolicy | None = None
    ) -> Ranked:
        """How well each text answers the query, 0 to 1. Raises `ProviderError`."""
        _require_kind(config, ModelKind.RERANK)
        if not texts:
            return Ranked([])
        provider = self._vector_provider(config)
        found = await self._tried(config, lambda: provider.rerank(query, texts), retry_policy)
        return replace(found, usage=config.price.of(found.usage.input_tokens, 0))

    async def _tried(self, config: ModelConfig, attempt: Callable[[], Awaitable[T]], policy: RetryPolicy | None) -> T:
        return await retry.run(
            attempt,
            label=config.label,
            policy=policy or self._retry_policy,
            circuit=self._circuit(self._state(), config),
            deadline=config.settings.deadline_seconds,
        )

    async def _fall_back(
        self, config: ModelConfig, request: ChatRequest, call: _Call, load: FallbackLoader
    ) -> ChatReply | None:
        for model_id in config.settings.fallback_model_ids:
            fallback = await load(model_id)
            if fallback is None:
                continue
            try:
                reply = await self._complete(fallback, request, call)
            except ProviderError as error:
                log.warning("fallback model failed", model=str(model_id), error=str(error))
                continue
            log.info("fallback model answered", model=str(config.id), fallback=str(model_id))
            return reply
        return None

    async def _complete(self, config: ModelConfig, request: ChatRequest, call: _Call) -> ChatReply:
        _require_kind(config, ModelKind.CHAT)
        settings = config.settings
        request = replace(
            request,
            temperature=settings.temperature if request.temperature is None else request.temperature,
            max_tokens=settings.max_tokens if request.max_tokens is None else request.max_tokens,
        )
        reply = await self._with_retries(config, request, call)
        if request.response_schema is not None and not reply.tool_calls:
            reply = await self._with_data(config, request, reply, call)
        usage = config.price.of(reply.usage.input_tokens, reply.usage.output_tokens)
        return replace(reply, usage=usage)

    async def _with_retries(self, config: ModelConfig, request: ChatRequest, call: _Call) -> ChatReply:
        state = self._state()
        provider = await self._provider(state, config)

        async def attempt() -> ChatReply:
            return await provider.chat(request, call.sink.begin() if call.sink else None)

        return await self._tried(config, attempt, call.policy)

    async def _with_data(self, config: ModelConfig, request: ChatRequest, reply: ChatReply, call: _Call) -> ChatReply:
        """The reply with its JSON parsed; a model that missed the schema is told so and asked once more."""
        schema = request.response_schema or {}
        try:
            return replace(reply, data=parse_answer(reply.text, schema))
        except AnswerInvalid as invalid:
            if reply.finish_reason == "length":
                raise errors.cut_off(config.label) from invalid
            problem = str(invalid)
        told = (Message("assistant", reply.text), Message("user", repair_instructions(problem)))
        again = replace(request, messages=(*request.messages, *told))
        repaired = await self._with_retries(config, again, replace(call, sink=None))
        try:
            data = parse_answer(repaired.text, schema)
        except AnswerInvalid as invalid:
            raise errors.bad_output(config.label, f"the model's JSON does not fit its schema: {invalid}") from invalid
        return replace(repaired, data=data, usage=reply.usage + repaired.usage)

    def _state(self) -> _Loop:
        loop = asyncio.get_running_loop()
        state = self._loops.get(loop)
        if state is None:
            state = _Loop(
                open_session(self._policy), Cache(_MOST_PROVIDERS), Cache(_MOST_PROVIDERS), Cache(_MOST_CIRCUITS)
            )
            self._loops[loop] = state
        return state

    async def _provider(self, state: _Loop, config: ModelConfig) -> ChatProvider:
        key = (config.id, config.version)
        found = state.providers.get(key)
        if found is None:
            found = await open_provider(config, self._local, state.session)
            state.providers.put(key, found)
        return found

    def _vector_provider(self, config: ModelConfig) -> VectorProvider:
        """Kept, because it knows what dimensions the model's vectors have."""
        state, key = self._state(), (config.id, config.version)
        found = state.vectors.get(key)
        if found is None:
            found = open_vector_provider(config, self._local, state.session)
            state.vectors.put(key, found)
        return found

    def _circuit(self, state: _Loop, config: ModelConfig) -> Circuit:
        """Shared by the models of a tenant at one endpoint; no tenant can close another's door."""
        endpoint = parse_url(endpoint_of(config, self._local))
        key = (config.tenant_id, f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}")
        found = state.circuits.get(key)
        if found is None:
            found = Circuit(self._circuit_limits)
            state.circuits.put(key, found)
        return found


def _require_kind(config: ModelConfig, kind: ModelKind) -> None:
    if config.kind is not kind:
        cause = f"is a model of kind {config.kind}, and a {kind} model is needed"
        raise ProviderError(config.label, cause, code="model_kind_wrong", retryable=False)


def _check_schema(config: ModelConfig, request: ChatRequest) -> None:
    try:
        require_usable(request.response_schema or {})
    except SchemaUnusable as error:
        raise ProviderError(config.label, f"was not asked: {error}", code="schema_invalid", retryable=False) from error
