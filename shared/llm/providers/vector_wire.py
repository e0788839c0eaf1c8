"""Embedding and ranking models, spoken to straight over aiohttp: their APIs are one request and one answer."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

import aiohttp
import orjson

from shared.kit.json import JsonObject
from shared.llm import errors
from shared.llm.providers.base import MAX_ANSWER_BYTES, Connection
from shared.llm.settings import (
    GoogleSettings,
    OllamaSettings,
    OpenAICompatibleSettings,
    OpenAISettings,
    Provider,
)
from shared.llm.tokens import approximate_tokens
from shared.llm.types import Embedded, Ranked, Usage
from shared.llm.vectors import checked_scores, checked_vectors

_CONNECT_SECONDS = 15.0
_MAX_ERROR_BYTES = 16 * 1024


class VectorProvider(Protocol):
    """One model at one provider: a single try, without retries or prices. Raises `ProviderError`."""

    async def embed(self, texts: Sequence[str]) -> Embedded: ...

    async def rerank(self, query: str, texts: Sequence[str]) -> Ranked: ...


class _Wire:
    """A request with JSON, and the JSON of its answer read by `read`."""

    def __init__(self, connection: Connection, credentials: dict[str, str]) -> None:
        settings = connection.config.settings
        self.label = connection.config.label
        self._base_url = connection.base_url
        self._session = connection.session
        self._secret = connection.api_key
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **credentials}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=settings.timeout_seconds
        )

    async def post(self, path: str, body: JsonObject) -> Any:
        try:
            async with self._session.post(
                self._base_url + path,
                data=orjson.dumps(body),
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    said = await response.content.read(_MAX_ERROR_BYTES)
                    retry_after = response.headers.get("Retry-After")
                    raise errors.from_status(self.label, response.status, said, retry_after, secret=self._secret)
                return self._parsed(await self._read(response))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise errors.from_exception(self.label, error) from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise errors.garbage(self.label, f"more than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)

    def _parsed(self, body: bytes) -> Any:
        try:
            found: Any = orjson.loads(body)  # which takes neither NaN nor Infinity for numbers
        except orjson.JSONDecodeError as error:
            raise errors.garbage(self.label, "no JSON") from error
        if not isinstance(found, dict):
            raise errors.garbage(self.label, "no object")
        return found  # pyright: ignore[reportUnknownVariableType]


class _Base:
    def __init__(self, connection: Connection, credentials: dict[str, str]) -> None:
        self._wire = _Wire(connection, credentials)
        self._label = connection.config.label
        self._model = connection.model
        # Nobody finds by vectors of two lengths: the first answer settles it, where the record does not.
        self._dimensions: int | None = getattr(connection.config.settings, "dimensions", None)
        self._asked = self._dimensions

    async def embed(self, texts: Sequence[str]) -> Embedded:
        self._refuse("embeds no texts")

    async def rerank(self, query: str, texts: Sequence[str]) -> Ranked:
        self._refuse("ranks no texts")

    def _refuse(self, cause: str) -> NoReturn:
        raise errors.ProviderError(self._label, cause, code="model_kind_wrong", retryable=False)

    def _embedded(self, texts: Sequence[str], found: Any, tokens: Any) -> Embedded:
        vectors = checked_vectors(self._label, found, len(texts), self._dimensions)
        if vectors:
            self._dimensions = len(vectors[0])
        return Embedded(vectors, _usage(tokens, texts))


class OpenAIVectors(_Base):
    """`/embeddings` as OpenAI has it, and `/rerank` as Jina, Cohere, vLLM and llama.cpp have it beside."""

    def __init__(self, connection: Connection, *, logits: bool | None = None) -> None:
        credentials = {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}
        settings = connection.config.settings
        if isinstance(settings, OpenAISettings):
            named = {"OpenAI-Organization": settings.organization, "OpenAI-Project": settings.project}
            credentials |= {name: value for name, value in named.items() if value}
        super().__init__(connection, credentials)
        self._logits = logits

    async def embed(self, texts: Sequence[str]) -> Embedded:
        body: JsonObject = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        if self._asked is not None:
            body["dimensions"] = self._asked
        answer = await self._wire.post("/embeddings", body)
        found = _read(self._label, lambda: _in_order(answer["data"]))
        return self._embedded(texts, found, _tokens(answer))

    async def rerank(self, query: str, texts: Sequence[str]) -> Ranked:
        body: JsonObject = {"model": self._model, "query": query, "documents": list(texts), "top_n": len(texts)}
        answer = await self._wire.post("/rerank", body)
        results = _read(self._label, lambda: answer["results"])
        scores = checked_scores(self._label, results, len(texts), logits=self._logits)
        return Ranked(scores, _usage(_tokens(answer), [query, *texts]))


class OllamaVectors(_Base):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {})
        settings = connection.config.settings
        self._given: JsonObject = {}
        if isinstance(settings, OllamaSettings):
            if settings.context_length:
                self._given["options"] = {"num_ctx": settings.context_length}
            if settings.keep_alive:
                self._given["keep_alive"] = settings.keep_alive

    async def embed(self, texts: Sequence[str]) -> Embedded:
        # A text that is cut in silence would be found by its beginning alone.
        body: JsonObject = {"model": self._model, "input": list(texts), "truncate": False, **self._given}
        if self._asked is not None:
            body["dimensions"] = self._asked
        answer = await self._wire.post("/api/embed", body)
        return self._embedded(texts, answer.get("embeddings"), answer.get("prompt_eval_count"))


class GoogleVectors(_Base):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, {"x-goog-api-key": connection.api_key or ""})
        self._name = f"models/{self._model.removeprefix('models/')}"

    async def embed(self, texts: Sequence[str]) -> Embedded:
        asked: JsonObject = {} if self._asked is None else {"outputDimensionality": self._asked}
        requests = [{"model": self._name, "content": {"parts": [{"text": text}]}, **asked} for text in texts]
        answer = await self._wire.post(f"/v1beta/{self._name}:batchEmbedContents", {"requests": requests})
        found = _read(self._label, lambda: [each["values"] for each in answer["embeddings"]])
        usage = answer.get("usageMetadata")
        return self._embedded(texts, found, usage.get("promptTokenCount") if isinstance(usage, dict) else None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


def open_vectors(connection: Connection) -> VectorProvider:
    settings = connection.config.settings
    match settings:
        case OpenAICompatibleSettings():
            logits = {"auto": None, "logit": True, "probability": False}[settings.rerank_scores]
            return OpenAIVectors(connection, logits=logits)
        case OpenAISettings():
            return OpenAIVectors(connection)
        case OllamaSettings():
            return OllamaVectors(connection)
        case GoogleSettings():
            return GoogleVectors(connection)
        case _:
            provider: Provider = connection.config.provider
            cause = f"{provider} has no embedding models"
            raise errors.ProviderError(connection.config.label, cause, code="model_kind_wrong", retryable=False)


def _read(label: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise errors.garbage(label, "not what was asked for") from error


def _in_order(data: Any) -> list[Any]:
    """Each says itself which text it is of."""
    by_place = {each.get("index", place): each["embedding"] for place, each in enumerate(data)}
    return [by_place[place] for place in sorted(by_place)]


def _tokens(answer: Any) -> Any:
    """Where OpenAI, Jina and vLLM say it, or Cohere."""
    for where, names in (("usage", ("prompt_tokens", "total_tokens")), ("meta", ("tokens",))):
        about = answer.get(where)
        for name in names if isinstance(about, dict) else ():
            value: Any = about.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            if isinstance(value, dict):
                value = value.get("input_tokens")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            if value is not None:
                return value  # pyright: ignore[reportUnknownVariableType]
    return None


def _usage(tokens: Any, texts: Sequence[str]) -> Usage:
    """Where a provider does not say what it counted, it is guessed: nothing is spent unseen."""
    if isinstance(tokens, (int, float)) and tokens >= 0:
        return Usage(int(tokens))
    return Usage(sum(map(approximate_tokens, texts)))
