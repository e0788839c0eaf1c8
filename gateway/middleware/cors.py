from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import ForeignOrigin
from gateway.http1 import Headers
from gateway.replies import reply_error

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADERS = ("Authorization", "Idempotency-Key", "Last-Event-ID", "X-Correlation-Id", "X-Quarterdeck-Client")
_EXPOSED = ("X-Correlation-Id", "Retry-After", "Location")


class Cors:
    """Lets the allowed origins in, credentials included, and turns foreign pages away.

    A foreign page that sends a person's cookie is refused outright, not only kept from reading the answer.
    """

    def __init__(self, app: ASGIApp, *, allowed: Collection[str], public_url: str) -> None:
        self._app = app
        self._allowed = {*allowed, _origin(public_url)}
        self._cors = CORSMiddleware(
            app,
            allow_origins=self._allowed,
            allow_methods=_METHODS,
            allow_headers=_HEADERS,
            expose_headers=_EXPOSED,
            allow_credentials=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        origin = next((value.decode("latin-1") for name, value in headers if name == b"origin"), None)
        if origin is None:
            await self._app(scope, receive, send)
            return
        if not self._is_known(origin, headers) and (_is_preflight(scope) or _has_cookie(headers)):
            await reply_error(scope, send, ForeignOrigin())
        else:
            await self._cors(scope, receive, send)

    def _is_known(self, origin: str, headers: Headers) -> bool:
        host = next((value for name, value in headers if name == b"host"), b"")
        return origin in self._allowed or origin.partition("://")[2] == host.decode("latin-1")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_preflight(scope: Scope) -> bool:
    asked = any(name == b"access-control-request-method" for name, _ in scope["headers"])
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and asked


def _has_cookie(headers: Headers) -> bool:
    return any(name == b"cookie" for name, _ in headers)
