import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge, BodyTooSlow
from gateway.routing import ROUTE, Route, Traffic
from shared.kit.settings import Settings

KIB, MIB = 1024, 1024 * 1024
# For the next part of a body, not for all of it: a large upload over a thin line may take its time.
PATIENCE_SECONDS = 30.0


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
    """Refuses bodies that are too large for their path, declared so or not, and those that stop coming."""

    def __init__(self, app: ASGIApp, limits: Mapping[Traffic, int]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: Route = scope[ROUTE]
        limit = self._limits[route.traffic]
        declared = _declared(scope)
        if declared is not None and declared > limit:
            raise BodyTooLarge
        await self._app(scope, receive if declared == 0 else _held_to(limit, receive), send)


def _declared(scope: Scope) -> int | None:
    """The body's length; None when it is not known beforehand."""
    length = b"0"
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = value
    return int(length) if length.isdigit() else None


def _held_to(limit: int, receive: Receive) -> Receive:
    received = 0
    more = True

    async def held() -> Message:
        nonlocal received, more
        if not more:
            return await receive()  # only the client's leaving can come now
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                message = await receive()
        except TimeoutError:
            raise _refusal(BodyTooSlow) from None
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
        if received > limit:
            raise _refusal(BodyTooLarge)
        return message

    return held


def _refusal(error: type[BodyTooLarge] | type[BodyTooSlow]) -> HTTPException:
    """Of the one kind that FastAPI lets pass while it reads a body."""
    return HTTPException(error.status, error.message)
