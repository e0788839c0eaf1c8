"""A worker's memory while it ingests documents of two million characters each."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import psutil

from benchmarks.corpus import corpus, large_text
from benchmarks.ingestion import ingest
from benchmarks.report import Figure
from benchmarks.stack import Measured, measured_stack
from tests.fakes.model_server import FakeModelServer

DOCUMENTS, CHARACTERS = 20, 2_000_000
_CHUNK_TOKENS = 2000
_SAMPLE = 0.5


async def measure() -> list[Figure]:
    """Embedded by a fake provider: it is the documents that are large here, and a model of our own takes an hour."""
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client = await measured.product.sign_up()
            client.http.timeout = 300
            model = {
                "name": "Embeddings",
                "kind": "embedding",
                "provider": "openai_compatible",
                "model": "fake",
                "settings": {"base_url": provider.base_url},
                "api_key": "sk-canary-0123456789",
                "context_window": 8192,
            }
            fields = {
                "chunk_size": _CHUNK_TOKENS,
                "embedding_model_id": (await client.post("/models", model))["id"],
            }
            await ingest(client, corpus(large=0, small=1), "The built-in model is loaded")
            await ingest(client, [large_text(0, CHARACTERS)], "The first", **fields)
            before = _rss(measured)
            async with _most(measured) as most:
                await ingest(client, [large_text(n, CHARACTERS) for n in range(1, DOCUMENTS + 1)], "Many", **fields)
            await asyncio.sleep(_SAMPLE)
            after = _rss(measured)
    what = f"{DOCUMENTS} documents of {CHARACTERS:,} characters"
    return [
        Figure("memory of the worker after one large document, RSS", before, "MB"),
        Figure(f"after {what} more", after, "MB", "after one", after / before, "<= 1.2"),
        Figure("at most meanwhile, without its readers", max(most), "MB"),
    ]


def _rss(measured: Measured) -> float:
    process = measured.product.workers[0].process
    assert process is not None
    return psutil.Process(process.pid).memory_info().rss / 1e6


@asynccontextmanager
async def _most(measured: Measured) -> AsyncGenerator[Sequence[float]]:
    samples: list[float] = [0.0]

    async def sample() -> None:
        while True:
            samples.append(_rss(measured))
            await asyncio.sleep(_SAMPLE)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
