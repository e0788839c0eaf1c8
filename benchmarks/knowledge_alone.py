"""What answers a question without the platform: Chroma over HTTP, BM25 in memory, the embedding model."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import UUID

import aiohttp
import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.knowledge_filled import Corpus
from shared.knowledge.embedding import TextEmbedder

_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_K1 = 0.9


@dataclass(frozen=True)
class ChromaAlone:
    http: aiohttp.ClientSession
    url: str

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, base: UUID) -> "AsyncGenerator[ChromaAlone]":
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{url}{_COLLECTIONS}/kb-{base}") as answer:
                found = await answer.json()
            yield cls(http, f"{url}{_COLLECTIONS}/{found['id']}/query")

    async def ask(self, vector: list[float], limit: int) -> int:
        body = orjson.dumps({"query_embeddings": [vector], "n_results": limit, "include": ["distances"]})
        async with self.http.post(self.url, data=body, headers={"Content-Type": "application/json"}) as answer:
            return len(orjson.loads(await answer.read())["ids"][0])


@dataclass(frozen=True)
class Bm25:
    """By the book, over all chunks in memory: for each stem where it stands, how often, and what that counts for."""

    stems: dict[str, int]
    begins: NDArray[np.int64]
    chunks: NDArray[np.int32]
    parts: NDArray[np.float32]
    idf: NDArray[np.float32]
    total: int
    stemmer: Any

    @classmethod
    def of(cls, corpus: Corpus) -> "Bm25":
        stemmer: Any = import_module("Stemmer").Stemmer("english")
        stems: dict[str, int] = {}
        of = np.array([stems.setdefault(stem, len(stems)) for stem in stemmer.stemWords(corpus.vocabulary)], np.int64)
        total = len(corpus.words)
        places = of[corpus.words] * total + np.arange(total)[:, None]
        where, times = np.unique(places.ravel(), return_counts=True)
        words, chunks = np.divmod(where, total)
        begins = np.searchsorted(words, np.arange(len(stems) + 1))
        many = np.diff(begins)
        parts = (times / (times + _K1)).astype(np.float32)  # each chunk is as long as the others
        idf = np.log1p((total - many + 0.5) / (many + 0.5)).astype(np.float32)
        return cls(stems, begins, chunks.astype(np.int32), parts, idf, total, stemmer)

    def ask(self, question: str, limit: int) -> NDArray[np.int64]:
        scores = np.zeros(self.total, np.float32)
        for stem in self.stemmer.stemWords(question.split()):
            if (number := self.stems.get(stem)) is not None:
                here = slice(self.begins[number], self.begins[number + 1])
                scores[self.chunks[here]] += self.idf[number] * self.parts[here]
        best = np.argpartition(scores, -limit)[-limit:]
        return best[np.argsort(-scores[best])]


@dataclass(frozen=True)
class Alone:
    """`limit` passages for each question."""

    embedder: TextEmbedder
    chroma: ChromaAlone
    bm25: Bm25
    limit: int

    async def embedding(self, question: str) -> list[float]:
        return (await self.embedder.embed([question])).vectors[0]

    async def vector(self, question: str) -> None:
        await self.chroma.ask(await self.embedding(question), self.limit)

    async def keyword(self, question: str) -> None:
        self.bm25.ask(question, self.limit)

    async def hybrid(self, question: str) -> None:
        """One after the other."""
        await self.vector(question)
        await self.keyword(question)
