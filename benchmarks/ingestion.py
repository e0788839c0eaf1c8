"""What it costs to ingest documents, beside what their parsers, the tokenizer and the embedding model cost alone.

A mixed corpus goes through the public API and a worker, then through the product's stages one by one. All by CPU time,
which hardly depends on what else the machine does: `python -m benchmarks ingestion`.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.accounting import cpu_seconds
from benchmarks.corpus import File, corpus
from benchmarks.ingestion_stages import Stages, by_stage
from benchmarks.report import Figure
from benchmarks.stack import Measured, measured_stack
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client

_FILES_AT_ONCE = 20
_PATIENCE = 900
_GOAL = ">= 0.8"


async def measure() -> list[Figure]:
    files = corpus()
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client = await measured.product.sign_up()
            client.http.timeout = 120
            whole = await _end_to_end(measured, client, files)
            while measured.product.workers:
                await measured.product.workers.pop().stop()
            base, documents = await _upload(client, files, "Stage by stage")
            tenant = (await client.get("/users/me"))["tenant"]["id"]
            stages = await by_stage(measured, tenant, base, files, documents)
    return [*_by_stage(stages), *whole.figures(stages.floor)]


def _by_stage(stages: Stages) -> list[Figure]:
    floors = {"read": "the parsers alone", "chunk": "the tokenizer alone", "embed": "the embedding model alone"}
    figures: list[Figure] = []
    for name, cost in stages.costs.items():
        print(
            f"  {name}: {cost.own:.2f} s of CPU and {cost.components:.2f} s of Postgres and Chroma;"
            f" alone {cost.floor:.2f} s; {cost.wall:.1f} s of wall time"
        )
        ratio, goal = (cost.floor / cost.own, _GOAL) if cost.floor else (None, "")
        figures += [
            Figure(f"{name}: text per second of CPU", stages.characters / cost.own / 1e6, "MB/s"),
            Figure(f"{name}: chunks", stages.chunks / cost.own, "per s of CPU", floors.get(name, ""), ratio, goal),
        ]
    figures.append(
        Figure(
            "all stages: CPU", stages.own, "s", "parsers, tokenizer and model alone", stages.floor / stages.own, _GOAL
        )
    )
    return figures


@dataclass(frozen=True)
class _Whole:
    """CPU seconds of each part of the product while it ingested everything."""

    wall: float
    cpu: dict[str, float]
    characters: int
    chunks: int
    documents: int

    def figures(self, floor: float) -> list[Figure]:
        worker, everything = self.cpu["worker"], sum(self.cpu.values())
        what = f"{self.documents} documents through the API"
        others = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.cpu.items() if name != "worker")
        return [
            Figure(f"{what}: text per second of the worker's CPU", self.characters / worker / 1e6, "MB/s"),
            Figure("chunks per second of the worker's CPU", self.chunks / worker, "chunks/s"),
            Figure("chunks per second of wall time, on a machine that others use too", self.chunks / self.wall, ""),
            Figure("CPU of the worker", worker, "s", "parser, tokenizer and model alone", floor / worker, _GOAL),
            Figure(f"CPU of everything ({others})", everything, "s", "the same", floor / everything),
        ]


async def _end_to_end(measured: Measured, client: Client, files: Sequence[File]) -> _Whole:
    await ingest(client, corpus(large=0, small=1), "Warm")
    before, started = _cpu_of_parts(measured), time.perf_counter()
    base = await ingest(client, files, "Through the API")
    wall = time.perf_counter() - started
    after = _cpu_of_parts(measured)
    documents = await _all_documents(client, base)
    return _Whole(
        wall,
        {name: after[name] - before[name] for name in after},
        sum(one["char_count"] for one in documents),
        sum(one["chunk_count"] for one in documents),
        len(documents),
    )


def _cpu_of_parts(measured: Measured) -> dict[str, float]:
    product = measured.product
    parts = {"worker": product.workers, "web": product.web, **{k: [v] for k, v in measured.components.items()}}
    return {name: cpu_seconds(_pids(each)) for name, each in parts.items()}


def _pids(parts: Iterable[Any]) -> list[int]:
    return [part.process.pid for part in parts if part.process is not None]


async def ingest(client: Client, files: Sequence[File], name: str, **fields: Any) -> str:
    """The knowledge base that was made for it and now has them all."""
    base, _ = await _upload(client, files, name, **fields)
    async with asyncio.timeout(_PATIENCE):
        while True:
            counts = (await client.get(f"/knowledge-bases/{base}/documents/summary"))["by_status"]
            if counts.get("failed"):
                raise RuntimeError("a document could not be read")
            if counts.get("ready", 0) == len(files):
                return base
            await asyncio.sleep(1)


async def _upload(client: Client, files: Sequence[File], name: str, **fields: Any) -> tuple[str, list[Any]]:
    base = (await client.post("/knowledge-bases", {"name": name, **fields}))["id"]
    documents: list[Any] = []
    for start in range(0, len(files), _FILES_AT_ONCE):
        some = [("files", (one.name, one.content)) for one in files[start : start + _FILES_AT_ONCE]]
        answer = await client.http.post(f"/api/v1/knowledge-bases/{base}/documents", files=some)
        documents += [item["document"] for item in answer.raise_for_status().json()["items"]]
    return base, documents


async def _all_documents(client: Client, base: str) -> list[Any]:
    return (await client.get(f"/knowledge-bases/{base}/documents", limit=200))["items"]
