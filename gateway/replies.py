"""The gateway's own answers, in the one error shape."""

from typing import Any

from starlette.types import Scope, Send

from shared.kit.json import dumps

CORRELATION_HEADER = b"x-correlation-id"


def error_body(scope: Scope, code: str, message: str, details: list[dict[str, Any]] | None = None) -> bytes:
    error = {
        "code": code,
        "message": message,
        "details": details or [],
        "correlation_id": correlation_id(scope),
    }
    return dumps({"error": error}).encode()


async def reply_error(
    scope: Scope,
    send: Send,
    status: int,
    code: str,
    message: str,
    details: list[dict[str, Any]] | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    body = error_body(scope, code, message, details)
    start = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def correlation_id(scope: Scope) -> str:
    """The id the correlation middleware has written into the request's headers."""
    for name, value in scope["headers"]:
        if name == CORRELATION_HEADER:
            return value.decode("latin-1")
    return ""
