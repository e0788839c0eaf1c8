"""The embedding models of knowledge bases: the built-in one, or any of the tenant's.

Importing this costs nothing; the first text for the built-in model loads 90 MB.
"""

import functools
import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from sqlalchemy import select

from shared.database.session import Scope, WriteSession
from shared.database.tables.models import Model
from shared.knowledge.errors import EmbeddingModelGone, EmbeddingModelMissing
from shared.llm.config import ModelConfig
from shared.llm.refusals import ModelGone, ModelKindWrong
from shared.llm.settings import ModelKind
from shared.llm.tenant import TenantModels
from shared.llm.tokens import approximate_tokens
from shared.llm.types import Embedded

if TYPE_CHECKING:
    from shared.llm.embeddings import Embedder

EMBEDDING_MODEL = "all-MiniLM-L6-v2"
# The most that fits the model together with what marks a text's begin and end.
MAX_CHUNK_TOKENS = 254
# Somebody waits for what is found, retries included; words alone are found without it.
_LONGEST_SECONDS = 20.0


class TextEmbedder(Protocol):
    """`name` is for people. `max_tokens` is the longest text that it embeds whole, by its own `count_tokens`."""

    @property
    def name(self) -> str: ...

    @property
    def max_tokens(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> Embedded: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """May take long: for a thread."""
        ...


class BuiltInEmbedder:
    """all-MiniLM-L6-v2 on this machine: costs nothing, and counts tokens exactly. Raises `EmbeddingModelMissing` when
    the model's files are not there."""

    name = EMBEDDING_MODEL
    max_tokens = MAX_CHUNK_TOKENS

    def __init__(self, cache: Path) -> None:
        """`cache` is where the model's files are: `Settings.cache`."""
        self._cache = cache

    async def embed(self, texts: Sequence[str]) -> Embedded:
        with _told_when_missing():
            return Embedded(await _model(self._cache).embed(texts))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        with _told_when_missing():
            return _model(self._cache).count_tokens(texts)


class TenantEmbedder:
    """An embedding model of the tenant's. Its tokenizer is not here: tokens are guessed, more rather than fewer, so
    that what is cut to `max_tokens` fits. Spend is held against the tenant's budgets and on record, but for
    `Embedders` that were opened without accounts.
    """

    def __init__(self, models: TenantModels, scope: Scope, config: ModelConfig) -> None:
        self.name = config.name
        self.max_tokens = config.context_window
        self._models = models
        self._scope = scope
        self._config = config

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Raises `BudgetExceeded`, `ProviderRefused`, `ProviderUnavailable`: see `shared/llm/refusals.py`."""
        return await self._models.embed(self._scope, self._config, texts, "embedding")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [approximate_tokens(text) for text in texts]


class Embedders:
    """One per process."""

    def __init__(self, cache: Path, models: TenantModels) -> None:
        self._built_in = BuiltInEmbedder(cache)
        self._models = models

    async def of(self, scope: Scope, model_id: UUID | None) -> TextEmbedder:
        """The tenant's embedding model; None is the built-in one. Raises `EmbeddingModelGone`, also of a model that is
        of another kind, and `ModelKeyUnreadable`."""
        if model_id is None:
            return self._built_in
        try:
            config = await self._models.config(scope, model_id, ModelKind.EMBEDDING)
        except (ModelGone, ModelKindWrong) as error:
            raise EmbeddingModelGone from error
        deadline = min(config.settings.deadline_seconds, _LONGEST_SECONDS)
        settings = config.settings.model_copy(update={"deadline_seconds": deadline})
        return TenantEmbedder(self._models, scope, replace(config, settings=settings))


async def hold_embedding_model(session: WriteSession, model_id: UUID) -> Model:
    """The model, which can neither be deleted nor become another until this transaction ends: for whoever makes an
    index of it. Raises `EmbeddingModelGone`."""
    statement = select(Model).where(Model.id == model_id).with_for_update(read=True)
    model = await session.scalar(statement)
    if model is None or model.kind != ModelKind.EMBEDDING:
        raise EmbeddingModelGone
    return model


@functools.cache
def _model(cache: Path) -> "Embedder":
    """The process's only one."""
    from shared.llm.embeddings import Embedder  # noqa: PLC0415 - numpy, which most API processes never need

    return Embedder(cache)


@contextmanager
def _told_when_missing() -> Generator[None]:
    from shared.llm.embeddings import EmbeddingsUnavailable  # noqa: PLC0415 - see _model

    try:
        yield
    except EmbeddingsUnavailable as error:
        raise EmbeddingModelMissing(str(error)) from error


def pack(vector: Sequence[float]) -> bytes:
    """As little-endian float32: how vectors are kept in Postgres and sent to Chroma."""
    return struct.pack(f"<{len(vector)}f", *vector)
