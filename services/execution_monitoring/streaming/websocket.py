import asyncio
from contextlib import aclosing

from fastapi import WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from services.execution_monitoring.streaming.feed import Watch, feed
from shared.auth.errors import NotAllowed, NotAuthenticated
from shared.kit.json import dumps
from shared.web.errors import AppError, error_body
from shared.web.resources import Resources

# In the range that RFC 6455 leaves to applications; the last three digits are HTTP's.
CLOSE_CODES = {NotAuthenticated: 4401, NotAllowed: 4403}


async def refuse(socket: WebSocket, error: AppError) -> None:
    """Before the handshake is done: with an ordinary response, in the one error shape."""
    await socket.send_denial_response(JSONResponse(error_body(error.code, error.text), error.status))


async def send_events(socket: WebSocket, app: Resources, watch: Watch) -> None:
    """One JSON text message for each event; closes after `done`."""
    await socket.accept()
    sending = asyncio.create_task(_send_all(socket, app, watch))
    leaving = asyncio.create_task(_wait_for_leave(socket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            await socket.close(*_closing(sending.exception()))
    except WebSocketDisconnect:
        pass
    finally:
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send_all(socket: WebSocket, app: Resources, watch: Watch) -> None:
    async with aclosing(feed(app, watch)) as lists:
        async for events in lists:
            for event in events:
                await socket.send_text(dumps(event))


async def _wait_for_leave(socket: WebSocket) -> None:
    # Watchers have nothing to say; whatever they send is passed over.
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _closing(error: BaseException | None) -> tuple[int, str]:
    if error is None:
        return 1000, "done"
    if isinstance(error, (NotAuthenticated, NotAllowed)):
        return CLOSE_CODES[type(error)], error.code
    raise error
