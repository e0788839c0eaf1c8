"""The stages of an ingestion in this process, on real components, each beside what alone it needs."""

import io
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psutil

from benchmarks.accounting import cpu_seconds
from benchmarks.corpus import File
from benchmarks.direct import direct_for
from benchmarks.stack import Measured
from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.ingestion.chunks import get_unembedded
from services.knowledge_base.ingestion.extract import import_readers, read
from services.knowledge_base.ingestion.extract.model import ContentLimits, Source
from services.knowledge_base.ingestion.extractor import Extractor
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.ingestion.stages import reading
from services.knowledge_base.ingestion.stages.chunking import chunk
from services.knowledge_base.ingestion.stages.publishing import clean, publish
from services.knowledge_base.ingestion.stages.vectors import embed, put_into_index
from services.knowledge_base.ingestion.stages.work import GONE, Work
from shared.database.session import Database, Scope
from shared.kit.json import Json, JsonObject
from shared.knowledge.embedding import TextEmbedder
from shared.llm.types import ChatReply, ChatRequest
from shared.web.resources import Resources

_ROUNDS = 3
_READERS = "extract_child"
_MOST_CHUNKS = 100_000


@dataclass
class Cost:
    """Seconds: CPU of this process and its readers, of what alone is needed, of the components; and by the clock."""

    own: float = 0.0
    floor: float = 0.0
    components: float = 0.0
    wall: float = 0.0


@dataclass
class Stages:
    characters: int = 0
    chunks: int = 0
    costs: dict[str, Cost] = field(
        default_factory=lambda: {name: Cost() for name in ("read", "chunk", "embed", "index")}
    )

    @property
    def own(self) -> float:
        return sum(cost.own for cost in self.costs.values())

    @property
    def floor(self) -> float:
        return sum(cost.floor for cost in self.costs.values())


async def by_stage(
    measured: Measured, tenant: str, base: str, files: Sequence[File], documents: Sequence[Any]
) -> Stages:
    """The documents are uploaded, and there is no worker."""
    async with direct_for(measured, UUID(tenant)) as opened:
        resources, target = opened.resources, Target(UUID(base), None)
        async with resources.database.write(opened.scope) as session:
            await indexes.ensure_first(session, UUID(tenant), target.index_id)
        embedder = await _warm(resources, opened.scope)
        stages = Stages()
        pid = measured.components["postgres"].process, measured.components["chroma"].process
        meter = _Meter([process.pid for process in pid if process is not None])
        works = [_work(resources, UUID(tenant), base, document) for document in documents]
        for number in range(_ROUNDS):
            some = _Round(files[number::_ROUNDS], works[number::_ROUNDS], target, embedder, meter, stages)
            await some.run()
    return stages


async def _warm(resources: Resources, scope: Scope) -> TextEmbedder:
    import_readers()
    embedder = await resources.embedders.of(scope, None)
    embedder.count_tokens(["warm"])
    await embedder.embed(["warm"])
    await Extractor().extract(b"warm", "warm.txt")  # starts the process that all of them come from
    return embedder


def _work(resources: Resources, tenant_id: UUID, base: str, document: Any) -> Work:
    execution = UUID(document["execution_id"])
    owner = Owner(tenant_id, execution, UUID(base), UUID(document["id"]), document["version"], 1)
    return Work(_Context(execution, tenant_id, resources, resources.database), owner)


@dataclass
class _Round:
    files: Sequence[File]
    works: Sequence[Work]
    target: Target
    embedder: TextEmbedder
    meter: "_Meter"
    stages: Stages

    async def run(self) -> None:
        with self.meter.floor(self.stages.costs["read"]):
            texts = [read(Source(io.BytesIO(one.content), one.name), ContentLimits()).text for one in self.files]
        await self._each("read", reading.extract)
        with self.meter.floor(self.stages.costs["chunk"]):
            for text in texts:
                self.embedder.count_tokens(text.split("\n\n"))
        await self._each("chunk", chunk)
        chunks = [text for work in self.works for text in await self._chunks(work)]
        with self.meter.floor(self.stages.costs["embed"]):
            await self.embedder.embed(chunks)
        await self._each("embed", lambda work: embed(work, self.target))
        await self._each("index", self._index)
        self.stages.characters += sum(map(len, texts))
        self.stages.chunks += len(chunks)

    async def _each(self, name: str, stage: Callable[[Work], Awaitable[Json]]) -> None:
        with self.meter.stage(self.stages.costs[name]):
            for work in self.works:
                if await stage(work) == GONE:
                    raise RuntimeError("a document is gone")

    async def _index(self, work: Work) -> Json:
        await put_into_index(work, self.target)
        published = await publish(work, self.target)
        assert isinstance(published, dict), "it is published"
        return await clean(work, UUID(published["purge"]))

    async def _chunks(self, work: Work) -> list[str]:
        async with work.context.database.read(work.scope) as session:
            found = await get_unembedded(session, work.owner, self.target.index_id, -1, _MOST_CHUNKS)
        return [one.text for one in found]


@dataclass
class _Meter:
    """`components` are processes that work for us."""

    components: Sequence[int]

    @contextmanager
    def stage(self, cost: Cost) -> Generator[None]:
        readers, components, wall, own = self._readers(), cpu_seconds(self.components), time.time(), time.process_time()
        yield
        cost.own += time.process_time() - own
        cost.wall += time.time() - wall
        cost.own += self._readers() - readers
        cost.components += cpu_seconds(self.components) - components

    @contextmanager
    def floor(self, cost: Cost) -> Generator[None]:
        before = time.process_time()
        yield
        cost.floor += time.process_time() - before

    def _readers(self) -> float:
        ours = psutil.Process().children()
        return cpu_seconds(one.pid for one in ours if any(_READERS in word for word in one.cmdline()))


@dataclass
class _Context:
    """A job's context that records nothing: stages are measured here, not the engine."""

    execution_id: UUID
    tenant_id: UUID
    resources: Resources
    database: Database
    inputs: JsonObject = field(default_factory=dict[str, Any])
    spec: JsonObject = field(default_factory=dict[str, Any])

    async def step(self, name: str, run: Callable[[], Awaitable[Json]]) -> Json:
        return await run()

    async def embed(self, model_id: UUID | None, texts: Sequence[str]) -> list[list[float]]:
        embedder = await self.resources.embedders.of(Scope(self.tenant_id), model_id)
        return (await embedder.embed(texts)).vectors

    async def complete(self, model_id: UUID, request: ChatRequest) -> ChatReply:
        raise NotImplementedError

    def log(self, level: str, message: str, **data: Any) -> None: ...

    def progress(self, stage: str, done: int, total: int) -> None: ...
