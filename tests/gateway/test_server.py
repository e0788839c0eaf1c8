"""The server of a process: how it stops, and what it writes."""

import asyncio
import contextlib
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
from gateway.proxy import Proxy
from shared.web import http_protocol
from tests.gateway.support import Peer, Serving, connected, free_port, upstream

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


async def test_a_request_whose_head_does_not_end_is_cut_off(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.4)
    async with upstream(answer) as service, serving(Proxy("auth", service.address)) as port:
        for beginning, more in ((b"", b"X-A: " + b"a" * 10_000 + b"\r\n"), (b"X-A: ", b"a" * 10_000)):
            async with connected(port) as endless:
                await endless.send(b"GET / HTTP/1.1\r\nHost: q\r\n" + beginning)
                with contextlib.suppress(ConnectionError):
                    for _ in range(100):
                        await endless.send(more)
                with contextlib.suppress(ConnectionError):
                    assert b"ok" not in await endless.rest()
        for beginning in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: q\r\n"):
            async with connected(port) as silent:
                if beginning:
                    await silent.send(beginning)
                started = time.monotonic()
                with contextlib.suppress(ConnectionError):
                    assert await silent.rest() == b""
                assert time.monotonic() - started < 2
        async with connected(port) as patient:  # slow, but not too slow, and again on the same connection
            for _ in range(2):
                for piece in (b"GET / HTTP/1.1\r\n", b"Host: q\r\n", b"\r\n"):
                    await patient.send(piece)
                    await asyncio.sleep(0.1)
                await patient.until(b"ok")
                await asyncio.sleep(0.5)


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
