from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http1 import Headers
from shared.kit.ids import new_id
from shared.web.context import HEADER, bind_correlation_id, is_sane

_NAME = HEADER.lower().encode()


class Correlation:
    """Takes a sane id from the caller, else makes one. Writes it into the request, so that every service uses
    the same, and into the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == _NAME), "")
        value = given if is_sane(given) else new_id().hex
        bind_correlation_id(value)
        own = (_NAME, value.encode())

        async def with_the_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                message["headers"] = [*_without_id(message.get("headers", [])), own]
            await send(message)

        scope.setdefault("state", {})  # a server without a lifespan state leaves it out
        headers = [*_without_id(scope["headers"]), own]
        await self._app({**scope, "headers": headers}, receive, with_the_id)


def _without_id(headers: Headers) -> Headers:
    return [header for header in headers if header[0] != _NAME]
