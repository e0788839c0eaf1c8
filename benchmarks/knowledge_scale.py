"""A knowledge base of very many chunks: what it takes, and how soon it answers, beside Chroma and BM25 alone.

`python -m benchmarks knowledge-scale`, or `python -m benchmarks.knowledge_scale --chunks N`, which prints JSON.
Each question is asked of the product and of what answers it alone, one right after the other; what the platform adds
is the median of the differences, which says the same on a machine that does other things too.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import aiohttp
import orjson
from sqlalchemy import text

from benchmarks.accounting import memory_mb
from benchmarks.knowledge_alone import Alone, Bm25, ChromaAlone
from benchmarks.knowledge_filled import TAGS, Corpus, Filled, Filler, make
from benchmarks.report import Figure
from benchmarks.stack import Measured, measured_stack
from services.knowledge_base.indexes.repository import ensure_first
from shared.database.session import Database, Scope
from shared.kit.settings import Settings
from shared.knowledge.embedding import BuiltInEmbedder
from shared.knowledge.index import VectorIndex
from tests.fakes.model_server import FakeModelServer

CHUNKS = 100_000
MODES = ("vector", "keyword", "hybrid")
_TOP_K = 10
_MANY = 20
_QUESTIONS = 150
_QUESTIONS_OF_MANY = 400
_QUESTIONS_OF_EXTREMES = 30
_WARM = 60
_LONGEST = 8_000
_MOST_PASSAGES = 100

Ask = Callable[[str], Awaitable[object]]


async def measure(chunks: int = CHUNKS) -> list[Figure]:
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client = await measured.product.sign_up()
            key = await client.post("/api-keys", {"name": "Scale", "scopes": ["knowledge:read"]})
            base = UUID((await client.post("/knowledge-bases", {"name": "Large"}))["id"])
            tenant = UUID((await client.get("/users/me"))["tenant"]["id"])
            corpus = await make(chunks, BuiltInEmbedder(measured.settings.cache))
            filled = await fill(measured.settings, tenant, base, corpus)
            figures = [*_filling(filled, chunks), *await _sizes(measured)]
            target = Target(measured.product.url, key["key"], base)
            figures += await ask(target, measured.settings, corpus)
            figures += _memory(measured, "after all questions")
    return figures


async def fill(settings: Settings, tenant: UUID, base: UUID, corpus: Corpus) -> Filled:
    database = Database(settings.app_database_url.get_secret_value())
    index = VectorIndex(settings.chroma_url)
    scope = Scope(tenant)
    try:
        async with database.write(scope) as session:
            await ensure_first(session, tenant, base)
        return await Filler(database, index, scope, base, corpus).fill()
    finally:
        await index.close()
        await database.close()


def _filling(filled: Filled, chunks: int) -> list[Figure]:
    return [
        Figure(f"{chunks:,} chunks: put into Postgres and Chroma", filled.wall, "s"),
        Figure("their rows, texts and vectors in Postgres", filled.rows, "s"),
        Figure("their words, indexed and merged", filled.words, "s"),
        Figure("their vectors in Chroma, beside that", filled.vectors, "s"),
    ]


async def _sizes(measured: Measured) -> list[Figure]:
    owner = Database(measured.settings.database_url.get_secret_value())
    words = "pg_total_relation_size('keyword_blocks') + pg_total_relation_size('keyword_segments')"
    async with owner.engine.connect() as connection:
        await connection.execute(text("CHECKPOINT"))
        row = (await connection.execute(text(f"SELECT pg_database_size(current_database()), {words}"))).one()
    await owner.close()
    chroma = measured.components["chroma"]
    size = sum(file.stat().st_size for file in (chroma.log.parent / "chroma").rglob("*") if file.is_file())
    return [
        Figure("database", row[0] / 1e6, "MB"),
        Figure("of that the index of words", row[1] / 1e6, "MB"),
        Figure("Chroma's files", size / 1e6, "MB"),
        *_memory(measured, "before the first question"),
    ]


def _memory(measured: Measured, when: str) -> list[Figure]:
    parts = {
        "the API": measured.product.web,
        "Chroma": [measured.components["chroma"]],
        "Postgres": [measured.components["postgres"]],
    }
    return [
        Figure(f"memory of {name}, {when}", memory_mb([one.process.pid for one in some if one.process]), "MB")
        for name, some in parts.items()
    ]


@dataclass(frozen=True)
class Target:
    url: str
    key: str
    base: UUID


@dataclass(frozen=True)
class _Product:
    http: aiohttp.ClientSession
    target: Target

    def asking(self, mode: str, **fields: object) -> Ask:
        """One passage at least, or this measures nothing."""

        async def ask(question: str) -> None:
            body = {"knowledge_base_ids": [str(self.target.base)], "query": question, "mode": mode, "top_k": _TOP_K}
            data = orjson.dumps({**body, **fields})
            headers = {"Authorization": f"Bearer {self.target.key}", "Content-Type": "application/json"}
            url = f"{self.target.url}/api/v1/knowledge-bases/query"
            async with self.http.post(url, data=data, headers=headers) as answer:
                found = orjson.loads(await answer.read())
                if answer.status != 200 or not found["passages"]:
                    raise RuntimeError(f"{mode} found nothing: {answer.status} {str(found)[:300]}")

        return ask


async def ask(target: Target, settings: Settings, corpus: Corpus) -> list[Figure]:
    bm25 = await asyncio.to_thread(Bm25.of, corpus)
    async with aiohttp.ClientSession() as http, ChromaAlone.opened(settings.chroma_url, target.base) as chroma:
        product = _Product(http, target)
        alone = Alone(BuiltInEmbedder(settings.cache), chroma, bm25, _TOP_K)
        floors = {"vector": alone.vector, "keyword": alone.keyword, "hybrid": alone.hybrid}
        figures: list[Figure] = []
        await _one_client(alone.embedding, _questions(corpus, _WARM))
        figures += _times("the question's embedding alone", await _one_client(alone.embedding, _questions(corpus, 50)))
        for mode, floor in floors.items():
            await _one_client(product.asking(mode), _questions(corpus, _WARM))
            figures += await _beside(mode, product.asking(mode), floor, corpus)
            figures += await _crowd(mode, product.asking(mode), floor, corpus)
        figures += await _filtered(product, corpus)
        figures += await _extremes(product, corpus)
    return figures


def _questions(corpus: Corpus, count: int) -> list[str]:
    return [corpus.question() for _ in range(count)]


async def _beside(mode: str, asked: Ask, floor: Ask, corpus: Corpus) -> list[Figure]:
    alone: list[float] = []
    found: list[float] = []
    for question in _questions(corpus, _QUESTIONS):
        alone.append(await _timed(floor, question))
        found.append(await _timed(asked, question))
    added = statistics.median(one - other for one, other in zip(found, alone, strict=True))
    names = {"vector": "the embedding and Chroma", "keyword": "BM25 in memory", "hybrid": "all three, one by one"}
    label = f"{mode}, 1 client"
    return [
        *_times(label, found, alone, f"{names[mode]} alone"),
        Figure(f"{label}: added by the platform", added, "ms", f"{names[mode]} alone", None, "< 5"),
    ]


async def _crowd(mode: str, asked: Ask, floor: Ask, corpus: Corpus) -> list[Figure]:
    alone = await _clients(floor, _questions(corpus, _QUESTIONS_OF_MANY))
    found = await _clients(asked, _questions(corpus, _QUESTIONS_OF_MANY))
    return _times(f"{mode}, {_MANY} clients", found, alone, "the same alone")


async def _filtered(product: _Product, corpus: Corpus) -> list[Figure]:
    figures: list[Figure] = []
    for tag in TAGS:
        for mode in ("vector", "hybrid"):
            asked = product.asking(mode, filters={"tags": [tag]})
            await _one_client(asked, _questions(corpus, 5))
            found = await _one_client(asked, _questions(corpus, _QUESTIONS_OF_EXTREMES))
            figures += _times(f"{mode}, among {tag}", found, goal="< 150")
    return figures


async def _extremes(product: _Product, corpus: Corpus) -> list[Figure]:
    long = [" ".join(_questions(corpus, 400))[:_LONGEST] for _ in range(_QUESTIONS_OF_EXTREMES)]
    figures: list[Figure] = []
    for mode in MODES:
        many = product.asking(mode, top_k=_MOST_PASSAGES)
        found = await _one_client(many, _questions(corpus, _QUESTIONS_OF_EXTREMES))
        figures += _times(f"{mode}, {_MOST_PASSAGES} passages", found, goal="< 1000")
        figures += _times(
            f"{mode}, {_LONGEST:,} characters", await _one_client(product.asking(mode), long), goal="< 1000"
        )
    return figures


async def _timed(asked: Ask, question: str) -> float:
    started = time.perf_counter()
    await asked(question)
    return (time.perf_counter() - started) * 1000


async def _one_client(asked: Ask, questions: Sequence[str]) -> list[float]:
    return [await _timed(asked, question) for question in questions]


async def _clients(asked: Ask, questions: Sequence[str]) -> list[float]:
    waiting = iter(questions)

    async def client() -> list[float]:
        return [await _timed(asked, question) for question in waiting]

    return [one for found in await asyncio.gather(*(client() for _ in range(_MANY))) for one in found]


def _times(
    name: str, found: Sequence[float], alone: Sequence[float] = (), label: str = "", goal: str = ""
) -> list[Figure]:
    figures: list[Figure] = []
    for at, share in (("p50", 0.5), ("p95", 0.95)):
        own, goal_here = _percentile(found, share), goal if at == "p95" else ""
        if alone:
            floor = _percentile(alone, share)
            figures.append(Figure(f"{name}: {at}", own, "ms", f"{label}: {floor:.1f} ms", own / floor, goal_here))
        else:
            figures.append(Figure(f"{name}: {at}", own, "ms", goal=goal_here))
    return figures


def _percentile(times: Sequence[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knowledge_scale")
    parser.add_argument("--chunks", type=int, default=CHUNKS)
    measured_figures = asyncio.run(measure(parser.parse_args().chunks))
    print(json.dumps([asdict(figure) for figure in measured_figures], indent=2))
