"""The engine's port to the outside by HTTP, over `shared/tools/outbound.py`."""

from typing import Final
from uuid import UUID

from services.orchestration.engine.ports import CallFailed, Effect, HttpReply, HttpRequest
from shared.kit.json import Json, dumps
from shared.tools.outbound import Outbound, OutboundFailed, Outgoing, Reply

_FIRST_FAILURE: Final = 400
_SHOWN_CHARACTERS: Final = 2_000


class OutboundHttp:
    """Implements `ports.Http`."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def send(self, tenant_id: UUID, request: HttpRequest, idempotency_key: str) -> HttpReply:
        key = None if request.effect is Effect.READ else idempotency_key
        try:
            reply = await self._outbound.send(tenant_id, _outgoing(request), key)
        except OutboundFailed as error:
            raise call_failed(error) from error
        if request.fail_on_status and reply.status >= _FIRST_FAILURE:
            raise _status_failed(reply)
        return HttpReply(reply.status, dict(reply.headers), reply.text, reply.data)


def call_failed(error: OutboundFailed, source: str | None = None) -> CallFailed:
    """What the engine is told of it. `source` names what made the request, if that says more than the host."""
    return CallFailed(
        error.message,
        code=error.code,
        source=source or error.source,
        retryable=error.retryable,
        retry_after=error.retry_after,
    )


def _status_failed(reply: Reply) -> CallFailed:
    return CallFailed(
        f"{reply.source} answered {reply.status}: {reply.text[:_SHOWN_CHARACTERS] or 'nothing more'}",
        code=f"http_{reply.status}",
        source=reply.source,
        retryable=reply.passes,
        retry_after=reply.retry_after,
        details={"status": reply.status},
    )


def _outgoing(request: HttpRequest) -> Outgoing:
    headers = {name: str(value) for name, value in request.headers.items()}
    body, content_type = _body(request.body)
    if content_type is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type
    return Outgoing(
        method=request.method,
        url=request.url,
        headers=headers,
        body=body,
        timeout=request.timeout,
        max_bytes=request.max_bytes,
        connection_id=request.connection_id,
    )


def _body(value: Json) -> tuple[bytes | None, str | None]:
    """The bytes, and what they are unless a header says otherwise."""
    match value:
        case None:
            return None, None
        case str():
            return value.encode("utf-8", "replace"), "text/plain; charset=utf-8"
        case _:
            return dumps(value).encode(), "application/json"
