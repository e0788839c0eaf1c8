from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http1 import Headers

# An answer of the API is data: a browser that is made to show it as a page must run and load nothing.
_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class SecurityHeaders:
    """Adds to every answer what it does not say itself. `secure`: the installation is served over TLS."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._headers = [*_ALWAYS, _HSTS] if secure else _ALWAYS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                own: Headers = list(message.get("headers", ()))
                said = {name.lower() for name, _ in own}
                message["headers"] = own + [header for header in self._headers if header[0] not in said]
            await send(message)

        await self._app(scope, receive, with_headers)
