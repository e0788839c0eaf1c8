import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.auth.principal import Principal
from shared.kit.logging import get_logger

log = get_logger("gateway.access")

# What nginx logs for a client that left before the answer.
_NO_ANSWER = 499
_TOKEN = re.compile("(/hooks/).*", re.DOTALL)


class AccessLog:
    """One line for each request when it ends. Never the query, a body, a header or a webhook's token: those are
    secrets, or carry some."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = _NO_ANSWER

        async def noting_the_status(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self._app(scope, receive, noting_the_status)
        finally:
            principal: Principal | None = scope["state"].get("principal")
            client = scope.get("client")
            log.info(
                "request",
                method=scope.get("method", "WEBSOCKET"),
                path=_TOKEN.sub(r"\1...", scope["path"]),
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
                client=client[0] if client else None,
                user_id=str(principal.user_id) if principal else None,
                tenant_id=str(principal.tenant_id) if principal else None,
            )
