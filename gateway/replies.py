"""The gateway's own answers, in the one error shape."""

from starlette.types import Scope, Send

from shared.kit.json import dumps
from shared.web.errors import AppError, error_body


async def reply_error(scope: Scope, send: Send, error: AppError) -> None:
    """Answers a request; refuses a WebSocket's handshake with an ordinary response, so that the client learns why."""
    await _send(send, "http.response" if scope["type"] == "http" else "websocket.http.response", error)


async def _send(send: Send, kind: str, error: AppError) -> None:
    body = dumps(error_body(error.code, error.text, error.details)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in error.headers.items()),
    ]
    await send({"type": f"{kind}.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
