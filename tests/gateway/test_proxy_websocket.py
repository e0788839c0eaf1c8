"""WebSockets through the proxy: a real server before it, a real service behind it."""

import asyncio
from collections.abc import Generator

import pytest
import websockets
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.proxy import Proxy
from tests.gateway.support import Serving, free_port, running


class Service:
    """Echoes; the path tells what else to do."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.closed: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return
        self.scopes.append(scope)
        await receive()
        if scope["path"] == "/refuse":
            await send({"type": "websocket.http.response.start", "status": 404, "headers": [(b"content-type", b"a/b")]})
            await send({"type": "websocket.http.response.body", "body": b"no such thing"})
            return
        if scope["path"] == "/redirect":
            location = [(b"location", b"ws://elsewhere.test/")]
            await send({"type": "websocket.http.response.start", "status": 302, "headers": location})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
        if scope["path"] == "/close":
            await send({"type": "websocket.close", "code": 4401, "reason": "signed out"})
            return
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
        self.closed.append(message["code"])


@pytest.fixture(scope="module")
def service_port() -> Generator[tuple[Service, int]]:
    service = Service()
    with running(service, lifespan="off") as port:
        yield service, port


async def test_frames_go_both_ways_with_the_callers_headers(
    serving: Serving, service_port: tuple[Service, int]
) -> None:
    service, upstream = service_port
    async with (
        serving(Proxy("monitoring", f"http://127.0.0.1:{upstream}")) as port,
        connect(
            f"ws://127.0.0.1:{port}/a%2Fb?after=3",
            additional_headers={"Authorization": "Bearer t"},
            subprotocols=[websockets.Subprotocol("v1"), websockets.Subprotocol("v2")],
            proxy=None,
        ) as socket,
    ):
        assert socket.subprotocol == "v1"
        for message in ("text ü", b"\x00\xff", "x" * 500_000):
            await socket.send(message)
            assert await asyncio.wait_for(socket.recv(), 5) == message
    scope = service.scopes[-1]
    headers = dict(scope["headers"])
    assert scope["raw_path"] == b"/a%2Fb"
    assert scope["query_string"] == b"after=3"
    assert headers[b"authorization"] == b"Bearer t"
    assert headers[b"x-forwarded-for"] == b"127.0.0.1"
    assert headers[b"host"] == f"127.0.0.1:{port}".encode()


async def test_the_clients_close_reaches_the_service(serving: Serving, service_port: tuple[Service, int]) -> None:
    service, upstream = service_port
    async with serving(Proxy("monitoring", f"http://127.0.0.1:{upstream}")) as port:
        socket = await connect(f"ws://127.0.0.1:{port}/", proxy=None)
        await socket.send("hello")
        await socket.recv()
        await socket.close(4000, "enough")
        async with asyncio.timeout(3):
            while 4000 not in service.closed:  # noqa: ASYNC110 - it is on another thread
                await asyncio.sleep(0.01)


async def test_a_client_that_vanishes_is_told_to_the_service(
    serving: Serving, service_port: tuple[Service, int]
) -> None:
    service, upstream = service_port
    before = len(service.closed)
    async with serving(Proxy("monitoring", f"http://127.0.0.1:{upstream}")) as port:
        socket = await connect(f"ws://127.0.0.1:{port}/", proxy=None)
        await socket.send("hello")
        await socket.recv()
        socket.transport.abort()
        async with asyncio.timeout(3):
            while len(service.closed) == before:  # noqa: ASYNC110 - it is on another thread
                await asyncio.sleep(0.01)


async def test_the_services_close_reaches_the_client(serving: Serving, service_port: tuple[Service, int]) -> None:
    _, upstream = service_port
    async with (
        serving(Proxy("monitoring", f"http://127.0.0.1:{upstream}")) as port,
        connect(f"ws://127.0.0.1:{port}/close", proxy=None) as socket,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "signed out")


async def test_a_refusal_is_passed_on_as_it_is(serving: Serving, service_port: tuple[Service, int]) -> None:
    _, upstream = service_port
    async with serving(Proxy("monitoring", f"http://127.0.0.1:{upstream}")) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/refuse", proxy=None)
    response = refused.value.response
    assert (response.status_code, response.body, response.headers["content-type"]) == (404, b"no such thing", "a/b")


async def test_credentials_do_not_follow_a_services_redirect(
    serving: Serving, service_port: tuple[Service, int]
) -> None:
    service, upstream = service_port
    before = len(service.scopes)
    async with serving(Proxy("monitoring", f"http://127.0.0.1:{upstream}")) as port:
        with pytest.raises((InvalidStatus, ConnectionError, OSError, ValueError)):
            await connect(f"ws://127.0.0.1:{port}/redirect", proxy=None)
    assert len(service.scopes) == before + 1


async def test_a_service_that_is_not_there_is_named(serving: Serving) -> None:
    async with serving(Proxy("chat", f"http://127.0.0.1:{free_port()}")) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/", proxy=None)
    assert refused.value.response.status_code == 503
    assert b"chat" in (refused.value.response.body or b"")


async def test_a_service_that_dies_closes_the_socket(serving: Serving) -> None:
    service = Service()
    with running(service, lifespan="off") as upstream:
        async with serving(Proxy("chat", f"http://127.0.0.1:{upstream}")) as port:
            socket = await connect(f"ws://127.0.0.1:{port}/", proxy=None)
            await socket.send("hello")
            await socket.recv()
            closing = asyncio.create_task(socket.wait_closed())
            await asyncio.sleep(0)
    await asyncio.wait_for(closing, 5)
    assert socket.close_code in (1011, 1012)
