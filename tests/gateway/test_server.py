"""The server of a process: how it stops, and what it writes."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from gateway.lifespan import Composed
from gateway.middleware.access_log import AccessLog
from tests.gateway.support import free_port

ROOT = Path(__file__).resolve().parents[2]


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """An event stream that never ends by itself, as the server's subprocess serves it."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def serving_endless() -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.web.server", "tests.gateway.test_server:endless", "--port", str(port)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        async with asyncio.timeout(30):
            while not await _answers(port):  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.05)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_event_streams_do_not_hold_up_a_shutdown_and_end_cleanly() -> None:
    async with (
        serving_endless() as (process, url),
        httpx.AsyncClient(timeout=10) as client,
        client.stream("GET", url) as one,
        client.stream("GET", url) as other,
    ):
        streams = [one.aiter_bytes(), other.aiter_bytes()]
        for stream in streams:
            assert await anext(stream) == b"data: first\n\n"
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for stream in streams:  # an end that was cut short would raise
            assert [part async for part in stream] == []
        await asyncio.wait_for(process.wait(), 5)
        assert time.monotonic() - started < 2.5


async def test_one_line_for_each_request_and_no_secret_in_it() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/models",
        "query_string": b"token=canary",
        "headers": [(b"authorization", b"Bearer canary"), (b"cookie", b"canary")],
        "client": ("192.0.2.7", 1),
        "state": {},
    }

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    with capture_logs() as lines:
        await AccessLog(app)(scope, nothing, nothing)  # type: ignore[arg-type]
    assert len(lines) == 1
    assert {lines[0][name] for name in ("event", "method", "path", "status", "client")} == {
        "request",
        "GET",
        "/api/v1/models",
        204,
        "192.0.2.7",
    }
    assert "canary" not in str(lines)


async def test_a_composition_that_fails_says_why_and_what_was_opened_is_closed() -> None:
    closed: list[str] = []

    @asynccontextmanager
    async def compose() -> AsyncGenerator[ASGIApp]:
        try:
            raise ConnectionError("no database")
            yield endless
        finally:
            closed.append("closed")

    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    with pytest.raises(ConnectionError):
        await Composed(compose)({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "no database" in str(sent[0]["message"])
    assert closed == ["closed"]
