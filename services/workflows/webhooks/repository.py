from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, update

from services.workflows.webhooks.errors import DeliveryNotFound, EndpointNotFound
from services.workflows.webhooks.schemas import DeliveryStatus
from shared.database.session import ReadSession, WriteSession
from shared.database.sorting import by_time
from shared.database.tables.triggers import WebhookDelivery, WebhookEndpoint
from shared.database.tables.workflows import Workflow

NEWEST_FIRST = by_time(WebhookDelivery.created_at, WebhookDelivery.id, descending=True)


async def list_endpoints(session: ReadSession, *, limit: int, before: UUID | None) -> Sequence[WebhookEndpoint]:
    """The newest first."""
    statement = select(WebhookEndpoint).order_by(WebhookEndpoint.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(WebhookEndpoint.id < before)
    return (await session.scalars(statement)).all()


async def count_endpoints(session: ReadSession) -> int:
    return await session.scalar(select(func.count()).select_from(WebhookEndpoint)) or 0


async def get_endpoint(session: ReadSession, endpoint_id: UUID) -> WebhookEndpoint:
    endpoint = await session.get(WebhookEndpoint, endpoint_id)
    if endpoint is None:
        raise EndpointNotFound
    return endpoint


async def lock_endpoint(session: WriteSession, endpoint_id: UUID) -> WebhookEndpoint:
    statement = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).with_for_update(key_share=True)
    endpoint = await session.scalar(statement)
    if endpoint is None:
        raise EndpointNotFound
    return endpoint


async def delete_endpoint(session: WriteSession, endpoint_id: UUID) -> None:
    """Its deliveries go with it."""
    statement = delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).returning(WebhookEndpoint.id)
    if (await session.execute(statement)).one_or_none() is None:
        raise EndpointNotFound


async def known_workflows(session: ReadSession, ids: Collection[UUID]) -> set[UUID]:
    return set(await session.scalars(select(Workflow.id).where(Workflow.id.in_(ids))))


async def list_deliveries(
    session: ReadSession,
    endpoint_id: UUID,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None,
    statuses: Sequence[DeliveryStatus],
) -> Sequence[WebhookDelivery]:
    """The newest first; without `statuses`, of any."""
    statement = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    if statuses:
        statement = statement.where(WebhookDelivery.status.in_(statuses))
    return (await session.scalars(NEWEST_FIRST.page(statement, after, limit))).all()


async def lock_delivery(session: WriteSession, delivery_id: UUID) -> WebhookDelivery:
    delivery = await session.scalar(select(WebhookDelivery).where(WebhookDelivery.id == delivery_id).with_for_update())
    if delivery is None:
        raise DeliveryNotFound
    return delivery


async def give_up_pending(session: WriteSession, endpoint_id: UUID, reason: str) -> None:
    await session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.status == DeliveryStatus.PENDING.value)
        .values(status=DeliveryStatus.FAILED.value, next_attempt_at=None, last_error=reason)
    )
