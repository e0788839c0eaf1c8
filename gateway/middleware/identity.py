from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIXES = (b"x-user", b"x-tenant", b"x-forwarded", b"x-auth-request")
_NAMES = frozenset({b"forwarded", b"x-real-ip", b"x-remote-user", b"x-original-url", b"x-rewrite-url"})


class IdentityHeaders:
    """Strips the headers in which proxies tell who a caller is: from a client they are claims, not facts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            header
            for header in scope["headers"]
            # Some servers read `_` as `-`, so x_user would come out as x-user.
            if not (name := header[0].replace(b"_", b"-")).startswith(_PREFIXES) and name not in _NAMES
        ]
        await self._app({**scope, "headers": headers}, receive, send)
