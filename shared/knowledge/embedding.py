"""The embedding models of knowledge bases: the built-in one, or any of the tenant's.

Importing this costs nothing; the first text for the built-in model loads 90 MB.
"""

import functools
import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from shared.database.session import Scope
from shared.knowledge.errors import EmbeddingModelGone, EmbeddingModelMissing
from shared.llm.types import Embedded

if TYPE_CHECKING:
    from shared.llm.embeddings import Embedder

EMBEDDING_MODEL = "all-MiniLM-L6-v2"
# The most that fits the model together with what marks a text's begin and end.
MAX_CHUNK_TOKENS = 254


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
    """all-MiniLM-L6-v2 on this machine: costs nothing, and counts tokens exactly."""

    name = EMBEDDING_MODEL
    max_tokens = MAX_CHUNK_TOKENS

    def __init__(self, cache: Path) -> None:
        self._inner = get_embedder(cache)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(await self._inner.embed(texts))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._inner.count_tokens(texts)


class Embedders:
    """One per process."""

    def __init__(self, cache: Path) -> None:
        self._built_in = BuiltInEmbedder(cache)

    async def of(self, scope: Scope, model_id: UUID | None) -> TextEmbedder:
        """The tenant's embedding model; None is the built-in one. Raises `EmbeddingModelGone`."""
        if model_id is None:
            return self._built_in
        raise EmbeddingModelGone


class ChunkEmbedder:
    """All methods raise `EmbeddingModelMissing` when the model's files are not there."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        from shared.llm.embeddings import EmbeddingsUnavailable  # noqa: PLC0415 - see _model

        try:
            return await self._model.embed(texts)
        except EmbeddingsUnavailable as error:
            raise EmbeddingModelMissing(str(error)) from error

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """May take long: for a thread."""
        from shared.llm.embeddings import EmbeddingsUnavailable  # noqa: PLC0415 - see _model

        try:
            return self._model.count_tokens(texts)
        except EmbeddingsUnavailable as error:
            raise EmbeddingModelMissing(str(error)) from error

    @cached_property
    def _model(self) -> "Embedder":
        from shared.llm.embeddings import Embedder  # noqa: PLC0415 - numpy, which most API processes never need

        return Embedder(self._cache)


@functools.cache
def get_embedder(cache: Path) -> ChunkEmbedder:
    """The process's only one. `cache` is where the model's files are: `Settings.cache`."""
    return ChunkEmbedder(cache)


def pack(vector: Sequence[float]) -> bytes:
    """As little-endian float32: how vectors are kept in Postgres and sent to Chroma."""
    return struct.pack(f"<{len(vector)}f", *vector)
