from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge
from gateway.routing import ROUTE, Route, Traffic
from shared.kit.settings import Settings

KIB, MIB = 1024, 1024 * 1024


def body_limits(settings: Settings) -> dict[Traffic, int]:
    """The largest body of each kind of traffic, in bytes."""
    return {
        Traffic.ORDINARY: MIB,
        Traffic.CREDENTIALS: 16 * KIB,
        Traffic.CONTENT: 16 * MIB,
        # Each file is measured by the service that takes them; this holds the request as a whole.
        Traffic.UPLOAD: settings.upload_max_bytes * settings.upload_max_files + MIB,
    }


class BodyLimit:
    def __init__(self, app: ASGIApp, limits: Mapping[Traffic, int]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: Route = scope[ROUTE]
        limit = self._limits[route.traffic]
        declared = _declared(scope)
        if declared is not None and declared > limit:
            raise BodyTooLarge
        # A declared length is kept to by our server's parser; chunks are counted as they come.
        chunked = declared is None and any(name == b"transfer-encoding" for name, _ in scope["headers"])
        await self._app(scope, _counting(receive, limit) if chunked else receive, send)


def _declared(scope: Scope) -> int | None:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() else None


def _counting(receive: Receive, limit: int) -> Receive:
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            # Of this kind, because it is the one that FastAPI lets pass while it reads a body.
            raise HTTPException(BodyTooLarge.status, BodyTooLarge.message)
        return message

    return counting
