"""Who is told when executions end, and what became of telling them. The workers do the telling."""

from collections.abc import Sequence
from uuid import UUID

from services.workflows.webhooks import repository
from services.workflows.webhooks.errors import DeliveryPending, TooManyEndpoints, UrlNotAllowed, WorkflowUnknown
from services.workflows.webhooks.schemas import (
    MAX_ENDPOINTS,
    DeliveryOut,
    DeliveryStatus,
    EndpointCreated,
    EndpointOut,
    EndpointSave,
)
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.triggers import WebhookDelivery, WebhookEndpoint
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.settings import Settings
from shared.net.policy import EgressPolicy, UrlRefused
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page
from shared.web.resources import Resources
from shared.webhooks.messages import ENDPOINT_DISABLED, TEST_EVENT, secret_place, webhook_id, wire
from shared.webhooks.signatures import new_secret

_SHOWN = 1_000


async def list_endpoints(session: ReadSession, limit: int, cursor: str | None) -> Page[EndpointOut]:
    (before,) = decode_cursor(cursor, UUID) if cursor else (None,)
    rows = await repository.list_endpoints(session, limit=limit + 1, before=before)
    return page(rows, limit, EndpointOut.model_validate, lambda row: (row.id,))


async def create(session: WriteSession, app: Resources, caller: Principal, request: EndpointSave) -> EndpointCreated:
    if await repository.count_endpoints(session) >= MAX_ENDPOINTS:
        raise TooManyEndpoints
    await _check(session, app.settings, request)
    secret = new_secret()
    endpoint = WebhookEndpoint(id=new_id(), tenant_id=caller.tenant_id, created_by=caller.user_id)
    endpoint.secret = app.cipher.seal(secret, secret_place(endpoint.id, endpoint.tenant_id))
    _fill(endpoint, request)
    session.add(endpoint)
    saved = await _saved(session, endpoint)
    return EndpointCreated(**saved.model_dump(), secret=secret)


async def read(session: ReadSession, endpoint_id: UUID) -> EndpointOut:
    return EndpointOut.model_validate(await repository.get_endpoint(session, endpoint_id))


async def update(session: WriteSession, app: Resources, endpoint_id: UUID, request: EndpointSave) -> EndpointOut:
    """One that is enabled again starts with a clean record; one that is disabled gets nothing of what was pending."""
    endpoint = await repository.lock_endpoint(session, endpoint_id)
    await _check(session, app.settings, request)
    if request.enabled and not endpoint.enabled:
        endpoint.disabled_reason = endpoint.failing_since = None
    _fill(endpoint, request)
    if not request.enabled:
        await repository.give_up_pending(session, endpoint_id, ENDPOINT_DISABLED)
    return await _saved(session, endpoint)


async def delete(session: WriteSession, endpoint_id: UUID) -> None:
    await repository.delete_endpoint(session, endpoint_id)


async def list_deliveries(
    session: ReadSession, endpoint_id: UUID, limit: int, cursor: str | None, statuses: Sequence[DeliveryStatus]
) -> Page[DeliveryOut]:
    await repository.get_endpoint(session, endpoint_id)
    after = decode_cursor(cursor, repository.NEWEST_FIRST.read, UUID) if cursor else None
    rows = await repository.list_deliveries(session, endpoint_id, limit=limit + 1, after=after, statuses=statuses)
    return page(rows, limit, _delivery, lambda row: (row.created_at.isoformat(), row.id))


async def send_test(session: WriteSession, endpoint_id: UUID) -> DeliveryOut:
    """Also to one that is disabled: to see whether it should be enabled."""
    endpoint = await repository.get_endpoint(session, endpoint_id)
    payload = {
        "type": TEST_EVENT,
        "timestamp": utcnow().isoformat(),
        "data": {"endpoint_id": str(endpoint.id), "message": "This is a test."},
    }
    delivery = WebhookDelivery(
        id=new_id(), tenant_id=endpoint.tenant_id, endpoint_id=endpoint.id, event=TEST_EVENT, payload=payload
    )
    session.add(delivery)
    await session.flush()
    await session.refresh(delivery)
    return _delivery(delivery)


async def redeliver(session: WriteSession, delivery_id: UUID) -> DeliveryOut:
    """Sends it once more, with as many attempts as at first and under the same id."""
    delivery = await repository.lock_delivery(session, delivery_id)
    if delivery.status == DeliveryStatus.PENDING:
        raise DeliveryPending
    delivery.status = DeliveryStatus.PENDING.value
    delivery.earlier_attempts = delivery.attempts
    delivery.next_attempt_at = utcnow()
    await session.flush()
    return _delivery(delivery)


async def _check(session: ReadSession, settings: Settings, request: EndpointSave) -> None:
    try:
        EgressPolicy.from_setting(settings.allowed_hosts).check_url(request.url)
    except UrlRefused as refused:
        detail = ErrorDetail(field="url", message=str(refused), code=UrlNotAllowed.code)
        raise UrlNotAllowed(details=[detail]) from None
    wanted = set(request.workflow_ids or ())
    unknown = wanted - await repository.known_workflows(session, wanted) if wanted else set[UUID]()
    if unknown:
        details = [
            ErrorDetail(field="workflow_ids", message=f"there is no workflow {id_}", code=WorkflowUnknown.code)
            for id_ in sorted(unknown)
        ]
        raise WorkflowUnknown(details=details)


def _fill(endpoint: WebhookEndpoint, request: EndpointSave) -> None:
    endpoint.url = request.url
    endpoint.description = request.description
    endpoint.events = [event.value for event in request.events]
    endpoint.workflow_ids = request.workflow_ids
    endpoint.enabled = request.enabled


async def _saved(session: WriteSession, endpoint: WebhookEndpoint) -> EndpointOut:
    await session.flush()
    await session.refresh(endpoint)
    return EndpointOut.model_validate(endpoint)


def _delivery(delivery: WebhookDelivery) -> DeliveryOut:
    own = {field: getattr(delivery, field) for field in DeliveryOut.model_fields if field not in ("webhook_id", "body")}
    body = wire(delivery.payload).decode()[:_SHOWN]
    return DeliveryOut.model_validate({**own, "webhook_id": webhook_id(delivery.id), "body": body})
