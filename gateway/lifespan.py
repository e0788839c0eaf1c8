import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp, Receive, Scope, Send


class Composed:
    """The ASGI app of a process: put together at startup, in the loop that will run it, and taken apart at shutdown."""

    def __init__(self, compose: Callable[[], AbstractAsyncContextManager[ASGIApp]]) -> None:
        self._compose = compose
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert self._app is not None, "the server has not run the lifespan"
        await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._compose() as self._app:
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except BaseException:
            await send(
                {"type": f"lifespan.{'shutdown' if self._app else 'startup'}.failed", "message": traceback.format_exc()}
            )
            raise
        await send({"type": "lifespan.shutdown.complete"})
