"""One worker process with far more to do than it takes at once, and over a long time."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import psutil

from benchmarks.crews import three_task_crew
from benchmarks.direct import Direct, direct, direct_for
from benchmarks.engine_overhead import graph
from benchmarks.report import Figure
from benchmarks.shapes import Shape
from benchmarks.stack import Measured, measured_stack
from tests.fakes.model_server import FakeModelServer

EXECUTIONS = 1_000
CALL_SECONDS = 0.5
TASKS = 3
_WAVE = 100
_WARM = 1_000
_SAMPLE = 0.5

CHEAP = Shape("cheap", "5 steps with a call each", calls=True, length=5)


async def many() -> list[Figure]:
    """Crews that wait for their model most of the time: what a worker is for."""
    with FakeModelServer(latency_ms=CALL_SECONDS * 1000, chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client, workflow = await three_task_crew(measured)
            first = await client.execute(workflow, {"topic": "the first"})
            await client.finished(first)
            me = await client.get("/users/me")
            async with direct_for(measured, UUID(me["tenant"]["id"])) as tenant:
                spec = await tenant.snapshot(first)
                before = _rss(measured)
                async with _most_memory(measured) as most:
                    started = time.perf_counter()
                    ids = await tenant.submit(spec, {"topic": "the thousandth"}, EXECUTIONS)
                    await tenant.all_succeeded(ids)
                    wall = time.perf_counter() - started
    ideal = math.ceil(EXECUTIONS / measured.settings.worker_capacity) * TASKS * CALL_SECONDS
    what = f"{EXECUTIONS:,} three-task crews, 500 ms a call, one worker"
    return [
        Figure(f"{what}, all succeeded", wall, "s", f"the calls alone, 100 at once: {ideal:g} s", wall / ideal),
        Figure("memory of the worker before, RSS", before, "MB"),
        Figure("memory of the worker at most, RSS", max(most), "MB"),
    ]


async def memory(executions: int) -> list[Figure]:
    """A worker's memory while it runs cheap executions, sampled each thousand, once it is warm."""
    samples: list[float] = []
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured, direct(measured) as client:
            await _run_cheap(client, _WARM)
            samples.append(_rss(measured))
            for thousand in range(executions // 1_000):
                await _run_cheap(client, 1_000)
                samples.append(_rss(measured))
                print(f"  after {thousand + 1},000 executions: {samples[-1]:.1f} MB", flush=True)
    return [
        Figure(f"memory of the worker after {executions:,} executions, RSS", samples[-1], "MB"),
        Figure("growth of it", slope(samples), "MB per 1,000 executions", goal="< 0.5"),
    ]


def slope(samples: list[float]) -> float:
    """Of the straight line that lies best between them."""
    middle = (len(samples) - 1) / 2
    mean = sum(samples) / len(samples)
    spread = sum((place - middle) ** 2 for place in range(len(samples)))
    return sum((place - middle) * (sample - mean) for place, sample in enumerate(samples)) / spread


async def _run_cheap(client: Direct, count: int) -> None:
    wanted = graph(CHEAP)
    for _ in range(count // _WAVE):
        await client.all_succeeded(await client.submit_graph(wanted, _WAVE))


def _rss(measured: Measured) -> float:
    process = measured.product.workers[0].process
    assert process is not None
    return psutil.Process(process.pid).memory_info().rss / 1e6


@asynccontextmanager
async def _most_memory(measured: Measured) -> AsyncGenerator[list[float]]:
    samples: list[float] = []

    async def sample() -> None:
        while True:
            samples.append(_rss(measured))
            await asyncio.sleep(_SAMPLE)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
