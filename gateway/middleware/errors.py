"""Whatever goes wrong in the gateway is answered in the one error shape."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge, BodyTooSlow
from gateway.replies import reply_error
from shared.kit.logging import get_logger
from shared.web.errors import AppError

log = get_logger(__name__)


class Errors:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting_the_start(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting_the_start)
        except Exception as error:
            if begun:
                raise  # too late for an answer: the server closes the connection
            await reply_error(scope, send, _as_app_error(error))


def _as_app_error(error: Exception) -> AppError:
    if isinstance(error, AppError):
        return error
    if isinstance(error, HTTPException):
        for known in (BodyTooLarge, BodyTooSlow):
            if error.status_code == known.status:
                return known()
    log.error("unexpected error", exc_info=error)
    return AppError()
