"""An upstream that forwards over the network: HTTP both ways as it streams, and WebSocket.

It is an ASGI app like any other upstream: the gateway does not know whether a service is in its own process.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope, Send

from gateway.errors import ClientGone, Unanswered, UpstreamError
from gateway.forwarding import Framing, OutgoingRequest, outgoing_request, response_headers
from gateway.http1 import Connection, Exchange
from gateway.pool import Address, Pool, PoolLimits
from gateway.websocket import relay_websocket
from shared.kit.logging import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_byte` counts from the end of the request and allows for a model's answer, `between_bytes`
    allows for an event stream's heartbeat.
    """

    first_byte: float = 120.0
    between_bytes: float = 60.0
    # A request is watched for its client leaving only after this long: most are answered by then.
    before_watching: float = 0.05


class _CutShort(Exception):
    """The service failed after its response had begun."""


class Proxy:
    """Forwards to the service at `address` ("http://host:port"); raises errors that name `service`."""

    def __init__(
        self,
        service: str,
        address: str,
        *,
        timeouts: Timeouts | None = None,
        limits: PoolLimits | None = None,
    ) -> None:
        self.service = service
        self.pool = Pool(parse_address(address), limits)
        self._timeouts = timeouts or Timeouts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await relay_websocket(self.service, self.pool.address, scope, receive, send)
            return
        try:
            await self._forward(outgoing_request(scope, self.pool.address), receive, send)
        except ClientGone:
            log.info("client_left", service=self.service, path=scope["path"])
        except _CutShort as error:
            # All that is left is to return without an end: our server then closes the client's connection.
            log.warning("response_cut_short", service=self.service, path=scope["path"], reason=str(error))
        except UpstreamError as error:
            log.warning("upstream_failed", service=self.service, path=scope["path"], reason=error.text)
            raise error.of(self.service) from error

    def close(self) -> None:
        self.pool.close()

    async def _forward(self, request: OutgoingRequest, receive: Receive, send: Send) -> None:
        body, more = await _first_body(request.framing, receive)
        try:
            await self._exchange(await self.pool.acquire(), request, body, more, receive, send)
        except Unanswered:
            if not request.repeatable:
                raise
            await self._exchange(await self.pool.connect(), request, body, more, receive, send)

    async def _exchange(
        self,
        connection: Connection,
        request: OutgoingRequest,
        body: bytes,
        more: bool,
        receive: Receive,
        send: Send,
    ) -> None:
        exchange = connection.begin(request.head + body, bodiless=request.method == "HEAD")
        client = _Client(receive, exchange, request.framing, more)
        client.follow(0 if more else self._timeouts.before_watching)
        try:
            await exchange.head(self._timeouts.first_byte)
            await self._respond(exchange, send)
        finally:
            client.leave()
            self.pool.release(connection)

    async def _respond(self, exchange: Exchange, send: Send) -> None:
        headers = response_headers(exchange)
        await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
        more = True
        while more:
            try:
                body, more = await exchange.read(self._timeouts.between_bytes)
            except UpstreamError as error:
                raise _CutShort(str(error)) from error
            await send({"type": "http.response.body", "body": body, "more_body": more})


class _Client:
    """Sends the rest of a request's body, then waits for the client to leave, which ends the exchange."""

    __slots__ = ("_exchange", "_framing", "_more", "_receive", "_task", "_timer")

    def __init__(self, receive: Receive, exchange: Exchange, framing: Framing, more: bool) -> None:
        self._receive = receive
        self._exchange = exchange
        self._framing = framing
        self._more = more
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        exchange.request_sent = not more

    def follow(self, delay: float) -> None:
        if delay:
            self._timer = asyncio.get_running_loop().call_later(delay, self._start)
        else:
            self._start()

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._more:
                body, self._more = _body_of(await self._receive())
                await self._exchange.write(self._framing.frame(body, self._more))
            self._exchange.request_sent = True
            _body_of(await self._receive())
        except Exception as error:  # noqa: BLE001 - raised again by the task that awaits the exchange
            self._exchange.fail(error)


def parse_address(address: str) -> Address:
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(f"an upstream's address looks like http://host:port, not {address!r}")
    return Address(parts.hostname, parts.port or 80)


async def _first_body(framing: Framing, receive: Receive) -> tuple[bytes, bool]:
    """The body's first part, to go out in one write with the head, and whether more follows."""
    if not framing.has_body:
        return b"", False
    body, more = _body_of(await receive())
    return framing.frame(body, more), more


def _body_of(message: Message) -> tuple[bytes, bool]:
    if message["type"] != "http.request":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)
