"""The engine's port to the outside by HTTP, over `shared/net`."""

from uuid import UUID

from services.orchestration.engine.ports import CallFailed, HttpReply, HttpRequest


class OutboundHttp:
    """Implements `ports.Http`."""

    async def send(self, tenant_id: UUID, request: HttpRequest, idempotency_key: str) -> HttpReply:
        raise CallFailed("requests are not possible yet", code="http_unavailable", source=request.url, retryable=False)
