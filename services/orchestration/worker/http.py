"""What operators and probes ask a worker over HTTP."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import generate_latest

from services.orchestration.worker import metrics


@asynccontextmanager
async def serve(address: str, ready: Callable[[], bool], refresh: Callable[[], None]) -> AsyncGenerator[None]:
    """/healthz: the event loop turns. /readyz: `ready()`. /metrics: after `refresh()`. No address: nothing."""
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        is_ready = ready()
        return web.json_response({"status": "ready" if is_ready else "starting"}, status=200 if is_ready else 503)

    async def show_metrics(_: web.Request) -> web.Response:
        refresh()
        return web.Response(body=generate_latest(), content_type="text/plain")

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or "127.0.0.1", int(port)).start()
        metrics.READY.set_function(lambda: float(ready()))
        yield
    finally:
        await runner.cleanup()
