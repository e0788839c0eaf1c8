"""Relays one WebSocket between a client and a service, frame by frame and with backpressure both ways."""

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.http11 import Response
from websockets.typing import Subprotocol

from gateway.errors import TimedOut, Unreachable
from gateway.forwarding import HOP_BY_HOP, forwarded_headers, host, request_target
from gateway.pool import Address
from shared.kit.logging import get_logger

log = get_logger(__name__)

OPEN_TIMEOUT = 5.0
MAX_MESSAGE_BYTES = 1024 * 1024
# The handshake's own headers; the connection to the service makes new ones.
_HANDSHAKE = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"sec-websocket-extensions",
    b"sec-websocket-protocol",
}
# Codes that a peer reports but may not send.
_RESERVED_CLOSE_CODES = frozenset({1005, 1006, 1015})


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc  # the caller's credentials go to the service that was asked, nowhere else


async def relay_websocket(service: str, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    try:
        upstream = await _open(address, scope)
    except InvalidStatus as error:
        await _deny(send, error.response)
        return
    except (OSError, InvalidHandshake, InvalidURI) as error:
        log.warning("upstream_failed", service=service, path=scope["path"], reason=str(error))
        failure = TimedOut if isinstance(error, TimeoutError) else Unreachable
        raise failure("cannot be reached").of(service) from error
    try:
        await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol})
        await _relay(upstream, receive, send)
    finally:
        await upstream.close()


async def _open(address: Address, scope: Scope) -> ClientConnection:
    target = request_target(scope)
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in [*scope["headers"], *forwarded_headers(scope)]
        if name not in _HANDSHAKE
    ]
    return await _Connect(
        f"ws://{host(scope['headers'], address).decode('ascii')}{target.decode('ascii')}",
        host=address.host,
        port=address.port,
        additional_headers=headers,
        user_agent_header=None,
        subprotocols=[Subprotocol(name) for name in scope["subprotocols"]] or None,
        compression=None,
        max_size=MAX_MESSAGE_BYTES,
        open_timeout=OPEN_TIMEOUT,
        proxy=None,
    )


async def _deny(send: Send, response: Response) -> None:
    """Passes the service's refusal on, so that the client learns why."""
    content_type = response.headers.get("content-type", "application/octet-stream")
    headers = [(b"content-type", content_type.encode("latin-1"))]
    await send({"type": "websocket.http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": bytes(response.body or b"")})


async def _relay(upstream: ClientConnection, receive: Receive, send: Send) -> None:
    outward = asyncio.create_task(_to_upstream(upstream, receive))
    inward = asyncio.create_task(_to_client(upstream, send))
    try:
        await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (outward, inward):
            task.cancel()
        results = await asyncio.gather(outward, inward, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _to_upstream(upstream: ClientConnection, receive: Receive) -> None:
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            data: Any = message.get("text")
            await upstream.send(data if data is not None else message["bytes"])
    except ConnectionClosed:
        return  # the other direction reports it
    await upstream.close(*_closing(message))


async def _to_client(upstream: ClientConnection, send: Send) -> None:
    try:
        while True:
            data = await upstream.recv()
            key = "text" if isinstance(data, str) else "bytes"
            await send({"type": "websocket.send", key: data})
    except ConnectionClosed as closed:
        received = closed.rcvd
        code, reason = (received.code, received.reason) if received else (1011, "the service went away")
        if code in _RESERVED_CLOSE_CODES:
            code = 1000 if code == 1005 else 1011
        await send({"type": "websocket.close", "code": code, "reason": reason})


def _closing(message: Message) -> tuple[int, str]:
    code = message.get("code") or 1000
    return (1001 if code in _RESERVED_CLOSE_CODES else code), message.get("reason") or ""
