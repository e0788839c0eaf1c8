"""What the gateway answers itself: health, and the API's description."""

from collections.abc import Awaitable, Callable

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.documentation import Documentation
from gateway.errors import MethodNotAllowed, NoRoute
from gateway.reference import render_reference
from shared.web import health
from shared.web.resources import Resources

# The page is all in one piece: it loads nothing, from here or elsewhere.
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


class OwnPages:
    def __init__(self, resources: Resources, documentation: Documentation) -> None:
        self._resources = resources
        self._documentation = documentation
        self._pages: dict[str, Callable[[], Awaitable[Response]]] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/api/v1/openapi.json": self._openapi,
            "/api/v1/docs": self._docs,
        }

    def has(self, path: str) -> bool:
        return path in self._pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NoRoute
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        response = await self._pages[scope["path"]]()
        await response(scope, receive, send)

    async def _alive(self) -> Response:
        return JSONResponse(await health.alive())

    async def _ready(self) -> Response:
        return await health.ready(self._resources)

    async def _openapi(self) -> Response:
        return JSONResponse(await self._documentation.document())

    async def _docs(self) -> Response:
        page = render_reference(await self._documentation.document())
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})
