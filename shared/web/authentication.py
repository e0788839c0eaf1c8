"""Nobody gets past this without a principal, save to a service's few public paths.

As ASGI middleware, so that an unauthenticated caller's body is never read, parsed or validated.
"""

import re
from collections.abc import Sequence

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.auth.errors import NotAuthenticated
from shared.web.errors import error_body

# Health for probes, and the API's own description.
ALWAYS_PUBLIC = (r"/healthz", r"/readyz", r"/metrics", r"/api/v1/openapi\.json", r"/api/v1/docs")


class AuthenticationMiddleware:
    def __init__(self, app: ASGIApp, public: Sequence[str] = ()) -> None:
        """`public`: regular expressions of whole paths that anyone may call."""
        self._app = app
        self._public = re.compile("|".join((*ALWAYS_PUBLIC, *public)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._needs_principal(scope):
            authenticator = scope["app"].state.resources.authenticator
            try:
                scope["state"]["principal"] = await authenticator.authenticate(_credential(scope))
            except NotAuthenticated as error:
                await _refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _needs_principal(self, scope: Scope) -> bool:
        if scope["type"] not in ("http", "websocket") or self._public.fullmatch(scope["path"]):
            return False
        # In one process the gateway has put the principal here already; a header cannot.
        return "principal" not in scope.setdefault("state", {})


def _credential(scope: Scope) -> str | None:
    return Headers(scope=scope).get("authorization")


async def _refuse(error: NotAuthenticated, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4401, "reason": error.code})
        return
    headers = {"WWW-Authenticate": "Bearer"}
    await JSONResponse(error_body(error.code, error.text), 401, headers)(scope, receive, send)
