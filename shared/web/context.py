"""The correlation id of the request at hand: in every log line, error and answer, and on the execution."""

import re
from contextvars import ContextVar

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kit.ids import new_id

HEADER = "X-Correlation-Id"
_SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")
_current: ContextVar[str] = ContextVar("correlation_id", default="-")


def correlation_id() -> str:
    return _current.get()


def is_sane(value: str) -> bool:
    return bool(_SANE.fullmatch(value))


def bind_correlation_id(value: str) -> None:
    """For the task at hand and those it starts; a server runs every request in a task of its own."""
    _current.set(value)
    structlog.contextvars.bind_contextvars(correlation_id=value)


class CorrelationMiddleware:
    """Takes a sane id from the caller, else makes one; gives it back on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        value = given if is_sane(given) else new_id().hex
        token = _current.set(value)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = value
            await send(message)

        with structlog.contextvars.bound_contextvars(correlation_id=value):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                _current.reset(token)
