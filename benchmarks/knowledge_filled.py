"""A knowledge base filled with very many chunks by the product's own code, without reading and embedding each.

Texts are of made-up words, of which a few are most of every text and some stand in documents of one topic. Vectors lie
around those of the topics' words, so that a question about a topic has near ones.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from shared.database.session import Database, Scope, WriteSession
from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document, DocumentText
from shared.kit.ids import new_id
from shared.knowledge import keywords
from shared.knowledge.embedding import TextEmbedder
from shared.knowledge.index import VectorIndex, VectorRecord

PER_DOCUMENT = 20
WORDS = 100
_VOCABULARY = 120_000
_STOP_WORDS = 100
_TOPICS = 500
_TOPIC_WORDS = 40
# Of each text, so much is words of its topic.
_TOPIC_SHARE = 0.2
# How far from its topic a chunk is, as a share of the topic's own length.
_SPREAD = 0.6
_DOCUMENTS_AT_ONCE = 10
# Which share of the documents has a tag.
TAGS = {"one in a hundred": 0.01, "three in a hundred": 0.03, "one in ten": 0.1, "one in three": 0.33}

Numbers = NDArray[np.int64]


@dataclass
class Corpus:
    """`words`: those of each chunk, by their numbers in the vocabulary. `topics`: of each document."""

    chance: np.random.Generator
    vocabulary: list[str]
    topic_words: Numbers
    topic_vectors: NDArray[np.float32]
    topics: Numbers
    words: NDArray[np.int32]

    @property
    def documents(self) -> int:
        return len(self.topics)

    def text(self, chunk: int) -> str:
        return " ".join(self.vocabulary[int(word)] for word in self.words[chunk])

    def vectors(self, document: int) -> NDArray[np.float32]:
        center = self.topic_vectors[self.topics[document]]
        away = self.chance.normal(size=(PER_DOCUMENT, len(center))) * (_SPREAD / np.sqrt(len(center)))
        rows = (center + away).astype("<f4")
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def question(self, telling: int = 4, common: int = 3) -> str:
        # Of few documents, not every topic is one of theirs.
        topic = self.topic_words[self.topics[self.chance.integers(len(self.topics))]]
        # What is in nearly all texts is left out of questions, as stop words are.
        often = (word for word in iter(lambda: int(_frequent(self.chance, 1)[0]), -1) if word >= _STOP_WORDS)
        words = [*self.chance.choice(topic, telling), *islice(often, common)]
        return " ".join(self.vocabulary[int(word)] for word in words)


async def make(chunks: int, embedder: TextEmbedder) -> Corpus:
    chance = np.random.default_rng(4)
    vocabulary = _vocabulary(chance)
    topic_words = chance.integers(1_000, _VOCABULARY, (_TOPICS, _TOPIC_WORDS))
    named = [" ".join(vocabulary[int(word)] for word in words[:8]) for words in topic_words]
    vectors = np.array((await embedder.embed(named)).vectors, np.float32)
    topics = chance.integers(0, _TOPICS, chunks // PER_DOCUMENT)
    words = _frequent(chance, chunks * WORDS).reshape(chunks, WORDS).astype(np.int32)
    told = chance.random((chunks, WORDS)) < _TOPIC_SHARE
    of_topic = topic_words[np.repeat(topics, PER_DOCUMENT)[:, None], chance.integers(0, _TOPIC_WORDS, (chunks, WORDS))]
    words[told] = of_topic[told]
    return Corpus(chance, vocabulary, topic_words, vectors, topics, words)


def _vocabulary(chance: np.random.Generator) -> list[str]:
    syllables = [a + b for a in "bcdfghklmnprstv" for b in "aeiou"]
    made: dict[str, None] = {}
    while len(made) < _VOCABULARY:
        made["".join(chance.choice(syllables, int(chance.integers(2, 6))).tolist())] = None
    return list(made)


def _frequent(chance: np.random.Generator, count: int) -> Numbers:
    """As in any language: the more often, the fewer."""
    return np.minimum((chance.pareto(0.9, count) * 20).astype(np.int64), _VOCABULARY - 1)


@dataclass
class Filled:
    """Seconds by the clock of each part; what was put in side by side counts for both."""

    wall: float = 0.0
    rows: float = 0.0
    words: float = 0.0
    vectors: float = 0.0
    documents: list[UUID] = field(default_factory=list[UUID])


@dataclass(frozen=True)
class _Made:
    id: UUID
    number: int
    chunk_ids: list[UUID]
    texts: list[str]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Filler:
    """`base` has nothing yet; its index has its id."""

    database: Database
    index: VectorIndex
    scope: Scope
    base: UUID
    corpus: Corpus

    async def fill(self) -> Filled:
        filled = Filled()
        started = time.perf_counter()
        for made in self._portions():
            await asyncio.gather(self._write(made, filled), self._put(made, filled))
            filled.documents += [one.id for one in made]
        filled.wall = time.perf_counter() - started
        return filled

    def _portions(self) -> Iterator[list[_Made]]:
        for start in range(0, self.corpus.documents, _DOCUMENTS_AT_ONCE):
            yield [self._made(n) for n in range(start, min(start + _DOCUMENTS_AT_ONCE, self.corpus.documents))]

    def _made(self, number: int) -> _Made:
        chunks = range(number * PER_DOCUMENT, (number + 1) * PER_DOCUMENT)
        texts = [self.corpus.text(chunk) for chunk in chunks]
        return _Made(new_id(), number, [new_id() for _ in chunks], texts, self.corpus.vectors(number))

    async def _put(self, made: list[_Made], filled: Filled) -> None:
        started = time.perf_counter()
        records = [
            VectorRecord(chunk_id, one.id, vector.tobytes())
            for one in made
            for chunk_id, vector in zip(one.chunk_ids, one.vectors, strict=True)
        ]
        await self.index.upsert(self.base, records)
        filled.vectors += time.perf_counter() - started

    async def _write(self, made: list[_Made], filled: Filled) -> None:
        started = time.perf_counter()
        async with self.database.write(self.scope) as session:
            await self._write_rows(session, made)
        filled.rows += (written := time.perf_counter()) - started
        for one in made:
            async with self.database.write(self.scope) as session:
                await keywords.add(
                    session,
                    tenant_id=self._tenant,
                    knowledge_base_id=self.base,
                    document_id=one.id,
                    revision=1,
                    language="english",
                    chunks=[keywords.KeywordChunk(*pair) for pair in zip(one.chunk_ids, one.texts, strict=True)],
                )
            await keywords.merge(self.database, self.scope, self.base)
        filled.words += time.perf_counter() - written

    @property
    def _tenant(self) -> UUID:
        assert self.scope.tenant_id is not None
        return self.scope.tenant_id

    async def _write_rows(self, session: WriteSession, made: list[_Made]) -> None:
        tenant = {"tenant_id": self._tenant}
        await session.execute(insert(Document), [{**tenant, **self._document(one)} for one in made])
        texts: list[dict[str, object]] = [
            {**tenant, "document_id": one.id, "revision": 1, "version": 1, "text": " ".join(one.texts), "structure": {}}
            for one in made
        ]
        await session.execute(insert(DocumentText), texts)
        await session.execute(insert(Chunk), [{**tenant, **chunk} for one in made for chunk in self._chunks(one)])
        vectors = [
            {**tenant, "chunk_id": chunk_id, "index_id": self.base, "vector": vector.tobytes()}
            for one in made
            for chunk_id, vector in zip(one.chunk_ids, one.vectors, strict=True)
        ]
        await session.execute(insert(ChunkEmbedding), vectors)

    def _document(self, one: _Made) -> dict[str, object]:
        size = sum(map(len, one.texts))
        # spread evenly, and each tag by itself
        tags = [tag for tag, share in TAGS.items() if int((one.number + 1) * share) > int(one.number * share)]
        return {
            "id": one.id,
            "knowledge_base_id": self.base,
            "name": f"{one.number}.txt",
            "media_type": "text/plain",
            "size_bytes": size,
            "char_count": size,
            "content_hash": str(one.number),
            "status": "ready",
            "revision": 1,
            "last_revision": 1,
            "chunk_count": PER_DOCUMENT,
            "tags": tags,
        }

    def _chunks(self, one: _Made) -> Iterator[dict[str, object]]:
        start = 0
        for ordinal, (chunk_id, text) in enumerate(zip(one.chunk_ids, one.texts, strict=True)):
            yield {
                "id": chunk_id,
                "knowledge_base_id": self.base,
                "document_id": one.id,
                "revision": 1,
                "ordinal": ordinal,
                "text": text,
                "page": None,
                "headings": [],
                "start": start,
                "end": start + len(text),
                "tokens": WORDS,
            }
            start += len(text) + 1
