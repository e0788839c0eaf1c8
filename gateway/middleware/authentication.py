from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.middleware.rate_limit import RateLimits
from gateway.routing import ROUTE, Route
from shared.auth.authenticator import Authenticator
from shared.auth.errors import NotAuthenticated


class Authentication:
    """Nobody gets past without a principal, save to the table's public paths.

    A service in this process takes the principal from the scope; a service behind the network proves the caller
    again from the same header.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limits: RateLimits) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: Route = scope[ROUTE]
        if not route.public:
            try:
                scope["state"]["principal"] = await self._authenticator.authenticate(_credential(scope))
            except NotAuthenticated as error:
                # Guessing tokens is limited like any other anonymous traffic.
                await self._limits.count_anonymous(scope)
                raise NotAuthenticated(headers={"WWW-Authenticate": "Bearer"}) from error
        await self._app(scope, receive, send)


def _credential(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    # Of two credentials, the gateway might prove one and the service the other.
    return values[0].decode("latin-1") if len(values) == 1 else None
