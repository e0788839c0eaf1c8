"""Serves one of our ASGI apps: `python -m shared.web.server services.auth.main:app --port 9001`.

Uvicorn with its fast loop and parser, and one thing that it lacks: at a shutdown it waits for open event streams,
which do not end by themselves. Here they are ended first; their readers take them up again by the last event's id.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.importer import import_from_string

from shared.web.http_protocol import BoundedHttpProtocol

GRACE_SECONDS = 5
# Well above the 5 s after which common clients drop an idle connection themselves: at the same age, both sides would
# now and then meet, and a POST that is on its way when the server closes cannot be sent again.
KEEP_ALIVE_SECONDS = 30
MAX_FRAME_BYTES = 1024 * 1024


class EventStreams:
    """Wraps an app and knows its open event streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[_Stream] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stream = _Stream(send, self._open)
        try:
            await self._app(scope, receive, stream.send)
        finally:
            self._open.discard(stream)

    async def end(self) -> None:
        """Completes every open stream's response; the apps behind them see their clients leave."""
        with contextlib.suppress(TimeoutError):  # a reader that takes nothing is not waited for
            async with asyncio.timeout(1):
                await asyncio.gather(*(stream.end() for stream in self._open))


class _Stream:
    __slots__ = ("_all", "_ended", "_send")

    def __init__(self, send: Send, all_open: "set[_Stream]") -> None:
        self._send = send
        self._all = all_open
        self._ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_event_stream(message):
            self._all.add(self)
        if not self._ended:
            await self._send(message)

    async def end(self) -> None:
        self._ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_event_stream(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, streams: EventStreams) -> None:
        super().__init__(config)
        self._streams = streams

    async def shutdown(self, sockets: Any = None) -> None:
        await self._streams.end()
        await super().shutdown(sockets)


def make_server(app: ASGIApp, *, host: str, port: int, behind_proxy: bool = False) -> Server:
    """`behind_proxy`: take the client's address from X-Forwarded-For, if the peer is in FORWARDED_ALLOW_IPS
    (127.0.0.1 by default). Never for a server that clients reach themselves: they could say what they like.
    """
    streams = EventStreams(app)
    config = uvicorn.Config(
        streams,
        host=host,
        port=port,
        loop="uvloop",
        http=BoundedHttpProtocol,
        ws_max_size=MAX_FRAME_BYTES,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=behind_proxy,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config, streams)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Serve one of Quarterdeck's apps.")
    parser.add_argument("app", help="module:attribute of the ASGI app")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--behind-proxy", action="store_true", help="trust X-Forwarded-For of FORWARDED_ALLOW_IPS")
    arguments = parser.parse_args(argv)
    app: ASGIApp = import_from_string(arguments.app)
    make_server(app, host=arguments.host, port=arguments.port, behind_proxy=arguments.behind_proxy).run()


if __name__ == "__main__":
    main()
