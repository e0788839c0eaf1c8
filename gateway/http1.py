"""The gateway's side of one HTTP/1.1 connection to a service.

A connection carries one `Exchange` (request and response) at a time. The parser is llhttp in its strict mode;
what it lets through but a proxy must not, this module refuses: anything that two readers could frame in two ways
ends the connection instead of being passed on. docs/decisions/0004-gateway-proxy.md says why this is no library.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from gateway.errors import BadResponse, TimedOut, Unanswered

Headers = list[tuple[bytes, bytes]]

MAX_HEAD_BYTES = 64 * 1024
MAX_INTERIM_RESPONSES = 8
# Above this much unread body the upstream is no longer read: a slow client costs this much memory, not more.
HIGH_WATER = 256 * 1024

_INTERIM = frozenset({100, 102, 103})
_WITHOUT_BODY = frozenset({204, 304})


class Exchange:
    """One request and its response. One task awaits it; the connection's callbacks fill it."""

    __slots__ = (
        "_buffered",
        "_chunks",
        "_connection",
        "_loop",
        "_waiter",
        "answered",
        "bodiless",
        "complete",
        "failure",
        "head_received",
        "headers",
        "request_sent",
        "status",
    )

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop, *, bodiless: bool) -> None:
        self._connection = connection
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: list[bytes] = []
        self._buffered = 0
        self.bodiless = bodiless
        self.answered = False
        self.head_received = False
        self.complete = False
        self.request_sent = False
        self.failure: Exception | None = None
        self.status = 0
        self.headers: Headers = []

    async def head(self, timeout: float) -> None:
        """Returns when `status` and `headers` are known."""
        while not self.head_received:
            if self.failure is not None:
                raise self.failure
            await self._wait(timeout)

    async def read(self, timeout: float) -> tuple[bytes, bool]:
        """The body that has come since the last call, and whether more will come."""
        while not self._chunks and not self.complete:
            if self.failure is not None:
                raise self.failure
            await self._wait(timeout)
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._buffered = 0
        self._connection.resume_reading()
        return body, not self.complete

    async def write(self, data: bytes) -> None:
        """Sends more of the request; waits while the upstream does not take it."""
        if self.failure is None and not self.complete:
            await self._connection.write(data)

    def fail(self, failure: Exception) -> None:
        if self.failure is None and not self.complete:
            self.failure = failure
            self.wake()

    def add_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER:
            self._connection.pause_reading()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, timeout: float) -> None:
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._expire)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _expire(self) -> None:
        if self.request_sent:
            self.fail(TimedOut("did not answer in time"))
        else:
            self.wake()  # how slow a client may be is for whoever reads the request to say; the waiting starts anew


class Connection(asyncio.Protocol):
    """One connection to an upstream. `lost` is called once, when it is gone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[["Connection"], None]) -> None:
        self._loop = loop
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._can_write: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._reset_response()
        self._interim = 0
        self._head_bytes = 0
        self._keep_alive = True
        self.exchanges = 0
        self.idle_since = 0.0

    # --- what the proxy calls ---

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def begin(self, request: bytes, *, bodiless: bool) -> Exchange:
        """Sends the start of a request. `bodiless`: the response has no body whatever it declares (HEAD)."""
        assert self._exchange is None
        assert self._transport is not None
        self.exchanges += 1
        self._interim = 0
        self._reset_response()
        exchange = self._exchange = Exchange(self, self._loop, bodiless=bodiless)
        if self._transport.is_closing():
            exchange.fail(Unanswered("closed an idle connection"))
        else:
            self._transport.write(request)
        return exchange

    def end(self) -> bool:
        """Ends the exchange; true when the connection is clean and may carry another one."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        assert self._transport is not None
        reusable = (
            exchange.complete
            and exchange.request_sent
            and self._keep_alive
            and not self._reading_paused
            and self._can_write is None
            and not self._transport.is_closing()
        )
        if exchange.bodiless:
            # llhttp cannot be told that a response to HEAD has no body, so it may still be waiting for one.
            self._parser = httptools.HttpResponseParser(self)
        return reusable

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def write(self, data: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(data)
        if self._can_write is not None:
            await asyncio.shield(self._can_write)

    def pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self.resume_writing()
        if self._exchange is not None:
            self._end_of_stream(self._exchange, exc)
        self._lost(self)

    def pause_writing(self) -> None:
        if self._can_write is None:
            self._can_write = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._can_write = self._can_write, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.complete:
            # Nobody asked for this. Were it kept, it would be read as the answer to the next request.
            self._keep_alive = False
            self.abort()
            return
        exchange.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep_alive = False
            exchange.fail(BadResponse(f"sent a malformed response ({_reason(error)})"))
        else:
            if not exchange.head_received:
                self._head_bytes += len(data)
                if self._head_bytes > MAX_HEAD_BYTES:
                    exchange.fail(BadResponse("sent a response head that is too large"))
        exchange.wake()

    def _end_of_stream(self, exchange: Exchange, exc: Exception | None) -> None:
        self._keep_alive = False
        if exchange.head_received and self._until_eof and exc is None:
            exchange.complete = True
            exchange.wake()
        elif not exchange.answered and self.exchanges > 1:
            exchange.fail(Unanswered("closed an idle connection"))
        else:
            exchange.fail(BadResponse("closed the connection before the response was complete"))

    # --- httptools callbacks ---

    def on_message_begin(self) -> None:
        if self._exchange is None or self._exchange.complete:
            raise BadResponse("more than was asked for")
        self._reset_response()

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.head_received:
            return  # trailers are not passed on
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise BadResponse("response head too large")
        name = name.lower()
        if name == b"content-length":
            self._until_eof = False
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                raise BadResponse("unknown transfer encoding")
            self._chunked = True
            self._until_eof = False
        exchange.headers.append((name, value))

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        status = self._parser.get_status_code()
        if status in _INTERIM:
            self._interim += 1
            if self._interim > MAX_INTERIM_RESPONSES:
                raise BadResponse("too many interim responses")
            return
        if not 200 <= status <= 599:
            raise BadResponse(f"unexpected status {status}")
        self._keep_alive = self._parser.should_keep_alive()
        exchange.status = status
        exchange.head_received = True
        if exchange.bodiless or status in _WITHOUT_BODY:
            exchange.complete = True

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.complete:
            self._keep_alive = False  # a body where none may be
        else:
            exchange.add_body(body)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        if exchange.head_received:
            exchange.complete = True
        else:
            exchange.headers.clear()  # an interim response; the real one follows

    def _reset_response(self) -> None:
        self._head_bytes = 0
        self._chunked = False
        self._until_eof = True


def _reason(error: Exception) -> str:
    cause = error.__context__
    return str(cause) if isinstance(cause, BadResponse) else str(error) or type(error).__name__
