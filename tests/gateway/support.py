"""Real sockets for the gateway's tests: a server on uvloop as in production, upstreams that send exact bytes."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.middleware.errors import Errors
from gateway.proxy import Proxy
from shared.web.http_protocol import BoundedHttpProtocol


@contextmanager
def running(app: ASGIApp, **options: Any) -> Generator[int]:
    """Serves `app` on a free port from a thread of its own, with the gateway's loop and parser; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings: dict[str, Any] = {"loop": "uvloop", "http": BoundedHttpProtocol, "log_level": "critical"}
    server = uvicorn.Server(uvicorn.Config(app, **{**settings, "timeout_graceful_shutdown": 2, **options}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
        assert not thread.is_alive()


class SharedServer:
    """One server for many tests: each puts its own proxy behind it."""

    def __init__(self) -> None:
        self.port = 0
        self._proxy: Proxy | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._loop = asyncio.get_running_loop()
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await asyncio.sleep(0.05)  # what the last proxy closed is closed by the loop's next turns
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self._proxy is not None
        await Errors(self._proxy)(scope, receive, send)

    @asynccontextmanager
    async def serving(self, proxy: Proxy) -> AsyncGenerator[int]:
        self._proxy = proxy
        try:
            yield self.port
        finally:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(proxy.close)


class Peer:
    """One accepted or opened connection, read and written byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), 5)

    async def until(self, marker: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(marker), 5)

    async def rest(self) -> bytes:
        """Everything up to the other side's close."""
        return await asyncio.wait_for(self.reader.read(), 5)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


Serving = Callable[[Proxy], AbstractAsyncContextManager[int]]
Handler = Callable[[Peer], Awaitable[None]]


class Upstream:
    """A service that speaks bytes. `handler` is run once for each connection; `connections` counts them."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(reader, writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._handler(peer)
        await peer.close()


@asynccontextmanager
async def upstream(handler: Handler) -> AsyncGenerator[Upstream]:
    service = Upstream(handler)
    server = await asyncio.start_server(service.accept, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[Peer]:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield peer
    finally:
        await peer.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
