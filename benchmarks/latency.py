"""How long people wait: for the first step to start, and for another worker when one has died."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from benchmarks.crews import three_task_crew
from benchmarks.direct import Direct, direct, direct_for
from benchmarks.engine_overhead import graph
from benchmarks.report import Figure
from benchmarks.shapes import Shape
from benchmarks.stack import measured_stack
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client

PROBES = 80
PAUSE = 0.1
BUSY = 60
LEASES = (4.0, 30.0)
HELD = 10

_PROBE = Shape("probe", "one step", calls=True, length=1)
_STARTED = "SELECT extract(epoch FROM min(started_at))::float8 FROM task_executions WHERE execution_id = $1"
_TAKEN = "SELECT count(*) FROM executions WHERE id = ANY ($1) AND epoch > 1 AND status = 'running'"


async def first_step() -> list[Figure]:
    """From the moment before the request is sent to the moment the worker notes as the first step's start."""
    with FakeModelServer(latency_ms=200, chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client, crew = await three_task_crew(measured)
            me = await client.get("/users/me")
            async with direct_for(measured, UUID(me["tenant"]["id"])) as tenant:
                workflow = await client.workflow(graph(_PROBE))
                await _waits(client, tenant, workflow, 5)
                idle = await _waits(client, tenant, workflow, PROBES)
                async with _crews_running(client, crew):
                    loaded = await _waits(client, tenant, workflow, PROBES)
    return [*_figures("idle", idle), *_figures(f"{BUSY} crews running", loaded)]


async def takeover() -> list[Figure]:
    """From kill -9 of the worker that holds executions to the last of them running in another one."""
    return [await _takeover(lease) for lease in LEASES]


async def _takeover(lease: float) -> Figure:
    with FakeModelServer(latency_ms=120_000, chunks=1) as provider:
        async with measured_stack(provider, lease=lease) as measured, direct(measured) as watcher:
            client, crew = await three_task_crew(measured)
            ids = [UUID(await client.execute(crew, {"topic": "held"})) for _ in range(HELD)]
            for held in ids:
                await client.until(str(held), "running")
            holder = measured.product.workers[0]
            await measured.product.start_worker()
            await asyncio.sleep(lease / 2)  # so that the lease was renewed at some moment, not just taken
            await measured.product.kill(holder)
            killed = time.perf_counter()
            while await watcher.database.fetchval(_TAKEN, ids) < HELD:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.05)
            taken = time.perf_counter() - killed
    goal = f"<= {lease + 15:g}"
    return Figure(f"taken over after kill -9, lease of {lease:g} s, {HELD} executions", taken, "s", goal=goal)


async def _waits(client: Client, tenant: Direct, workflow: str, count: int) -> list[float]:
    """Milliseconds, of executions started one after the other."""
    waits: list[float] = []
    for _ in range(count):
        asked = time.time()
        execution = UUID(await client.execute(workflow, {}))
        await tenant.all_succeeded([execution])
        waits.append((await tenant.database.fetchval(_STARTED, execution) - asked) * 1000)
        await asyncio.sleep(PAUSE)
    return waits


@asynccontextmanager
async def _crews_running(client: Client, workflow: str) -> AsyncGenerator[None]:
    """Keeps so many executions running."""

    async def one_after_the_other() -> None:
        while True:
            await client.finished(await client.execute(workflow, {"topic": "load"}))

    running = [asyncio.create_task(one_after_the_other()) for _ in range(BUSY)]
    await asyncio.sleep(1)
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*running)


def _figures(state: str, waits: list[float]) -> list[Figure]:
    p95 = statistics.quantiles(waits, n=20)[-1]
    return [
        Figure(f"from the request to the first step started, {state}: p50", statistics.median(waits), "ms"),
        Figure(f"from the request to the first step started, {state}: p95", p95, "ms"),
    ]
