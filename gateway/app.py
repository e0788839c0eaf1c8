"""The front door as one ASGI app: any ASGI app may be a service, near or far."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.documentation import Documentation
from gateway.errors import MethodNotAllowed, NoRoute, Unreachable
from gateway.middleware.access_log import AccessLog
from gateway.middleware.authentication import Authentication
from gateway.middleware.body_limit import BodyLimit, body_limits
from gateway.middleware.correlation import Correlation
from gateway.middleware.cors import Cors
from gateway.middleware.errors import Errors
from gateway.middleware.identity import IdentityHeaders
from gateway.middleware.rate_limit import RateLimit, RateLimits
from gateway.middleware.security_headers import SecurityHeaders
from gateway.pages import OwnPages
from gateway.routing import ROUTE, Route, find_route
from shared.web.resources import Resources

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})


def build_gateway(resources: Resources, limits: RateLimits, upstreams: Mapping[str, ASGIApp]) -> ASGIApp:
    """`upstreams`: an ASGI app for each service of the routing table, by its name."""
    settings = resources.settings
    guarded: ASGIApp = RateLimit(Dispatch(upstreams), limits)
    guarded = Authentication(guarded, resources.authenticator, limits)
    guarded = BodyLimit(guarded, body_limits(settings))
    app: ASGIApp = Router(guarded, OwnPages(resources, Documentation(upstreams), limits))
    app = Errors(IdentityHeaders(app))
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    app = Cors(app, allowed=origins, public_url=settings.public_url)
    app = SecurityHeaders(app, secure=settings.public_url.startswith("https://"))
    app = AccessLog(app)
    return Correlation(app)


class Router:
    """Finds out whose request it is: the gateway's own, or which route of the table."""

    def __init__(self, guarded: ASGIApp, pages: OwnPages) -> None:
        self._guarded = guarded
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if self._pages.has(path):
            await self._pages(scope, receive, send)
            return
        method: str = scope.get("method", "WEBSOCKET")
        route = find_route(method, path)
        if route is None:
            raise NoRoute
        if method not in _METHODS:  # CONNECT and TRACE change what the bytes that follow mean
            raise MethodNotAllowed
        await self._guarded({**scope, ROUTE: route}, receive, send)


class Dispatch:
    def __init__(self, upstreams: Mapping[str, ASGIApp]) -> None:
        self._upstreams = upstreams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: Route = scope[ROUTE]
        upstream = self._upstreams.get(route.service)
        if upstream is None:
            raise Unreachable("is not part of this installation").of(route.service)
        await upstream(scope, receive, send)
