"""What the gateway answers itself: health, and the API's description."""

from collections.abc import Awaitable, Callable

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.documentation import Documentation
from gateway.errors import MethodNotAllowed, NoRoute
from gateway.middleware.rate_limit import RateLimits
from shared.web import health
from shared.web.resources import Resources

# The page is all in one piece: it loads nothing, from here or elsewhere.
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_PROBES = ("/healthz", "/readyz")


class OwnPages:
    def __init__(self, resources: Resources, documentation: Documentation, limits: RateLimits) -> None:
        self._resources = resources
        self._limits = limits
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
        if scope["path"] not in _PROBES:
            await self._limits.count_anonymous(scope)
        response = await self._pages[scope["path"]]()
        await response(scope, receive, send)

    async def _alive(self) -> Response:
        return JSONResponse(await health.alive())

    async def _ready(self) -> Response:
        return await health.ready(self._resources)

    async def _openapi(self) -> Response:
        return Response((await self._documentation.rendered()).openapi, media_type="application/json")

    async def _docs(self) -> Response:
        page = (await self._documentation.rendered()).page
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})
