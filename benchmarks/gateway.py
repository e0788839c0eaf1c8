"""The gateway as a proxy, against the same service called directly, and the main reads under load."""

import asyncio
import statistics
import time

import aiohttp

from benchmarks.load import in_own_process
from benchmarks.report import Figure
from benchmarks.stack import Measured, measured_stack
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client

CONNECTIONS = 64
SECONDS = 4.0
ROUNDS = 5
STREAMS = 30
TRIVIAL = "/api/v1/roles"


async def measure() -> list[Figure]:
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider, composition="split") as measured:
            client = await measured.product.sign_up()
            token = str(client.http.headers["Authorization"]).removeprefix("Bearer ")
            workflow = await client.crew("Writer")
            ids = [await client.execute(workflow, {"topic": f"topic {n}"}) for n in range(30)]
            for execution_id in ids:
                await client.finished(execution_id)
            figures = await _throughput(measured, token)
            figures += await _first_byte(measured, token, ids[0])
            figures += await _reads(measured, client, token, ids[0])
    return figures


def _service(measured: Measured, name: str) -> str:
    return next(part.url for part in measured.product.web if part.name == name)


async def _throughput(measured: Measured, token: str) -> list[Figure]:
    direct: list[float] = []
    proxied: list[float] = []
    for _ in range(ROUNDS):
        for url, into in ((_service(measured, "auth"), direct), (measured.product.url, proxied)):
            into.append((await in_own_process(url + TRIVIAL, token, CONNECTIONS, SECONDS))["per_second"])
    ratio = statistics.median(a / b for a, b in zip(proxied, direct, strict=True))
    return [
        Figure(f"a trivial route, called directly, {CONNECTIONS} connections", statistics.median(direct), "requests/s"),
        Figure(
            f"the same through the gateway, {CONNECTIONS} connections",
            statistics.median(proxied),
            "requests/s",
            "the service called directly",
            ratio,
            ">= 0.7",
        ),
    ]


async def _first_byte(measured: Measured, token: str, execution_id: str) -> list[Figure]:
    path = f"/api/v1/executions/{execution_id}/events"
    direct: list[float] = []
    proxied: list[float] = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for _ in range(STREAMS):
            for url, into in ((_service(measured, "execution_monitoring"), direct), (measured.product.url, proxied)):
                started = time.perf_counter()
                async with session.get(url + path) as answer:
                    await answer.content.readany()
                    into.append((time.perf_counter() - started) * 1000)
    added = statistics.median(proxied) - statistics.median(direct)
    return [Figure("added by the gateway to the first byte of a stream", added, "ms", "direct", goal="< 5")]


async def _reads(measured: Measured, client: Client, token: str, execution_id: str) -> list[Figure]:
    """While a worker runs crews in the background."""
    workflow = await client.crew("Reader")
    paths = {
        "list executions": "/api/v1/executions",
        "one execution with steps": f"/api/v1/executions/{execution_id}",
        "analytics summary": "/api/v1/analytics/summary",
    }
    figures: list[Figure] = []
    for name, path in paths.items():
        started = [asyncio.create_task(client.execute(workflow, {"topic": "load"})) for _ in range(20)]
        load = await in_own_process(measured.product.url + path, token, 16, SECONDS)
        await asyncio.gather(*started)
        figures.append(Figure(f"{name}, 16 connections, crews running: p95", load["p95_ms"], "ms"))
    return figures
