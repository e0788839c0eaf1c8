from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from services.workflows.webhooks import service
from services.workflows.webhooks.errors import (
    DeliveryNotFound,
    DeliveryPending,
    EndpointNotFound,
    TooManyEndpoints,
    UrlNotAllowed,
    WorkflowUnknown,
)
from services.workflows.webhooks.schemas import DeliveryOut, DeliveryStatus, EndpointCreated, EndpointOut, EndpointSave
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(tags=["webhooks"])

Reader = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_WRITE))]


@router.get("/webhook-endpoints", responses=responses(NotAllowed))
async def list_webhook_endpoints(
    session: ReadDb, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[EndpointOut]:
    """The newest first."""
    return await service.list_endpoints(session, limit, cursor)


@router.post(
    "/webhook-endpoints",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, UrlNotAllowed, WorkflowUnknown, TooManyEndpoints),
)
async def create_webhook_endpoint(request: EndpointSave, session: WriteDb, app: App, caller: Writer) -> EndpointCreated:
    """It is told when executions end, by messages signed as Standard Webhooks has it. The secret is in this answer and
    in no other."""
    return await service.create(session, app, caller, request)


@router.get("/webhook-endpoints/{endpoint_id}", responses=responses(NotAllowed, EndpointNotFound))
async def get_webhook_endpoint(endpoint_id: UUID, session: ReadDb, caller: Reader) -> EndpointOut:
    return await service.read(session, endpoint_id)


@router.put(
    "/webhook-endpoints/{endpoint_id}",
    responses=responses(NotAllowed, EndpointNotFound, UrlNotAllowed, WorkflowUnknown),
)
async def update_webhook_endpoint(
    endpoint_id: UUID, request: EndpointSave, session: WriteDb, app: App, caller: Writer
) -> EndpointOut:
    """What was pending when it is disabled is given up."""
    return await service.update(session, app, endpoint_id, request)


@router.delete(
    "/webhook-endpoints/{endpoint_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, EndpointNotFound),
)
async def delete_webhook_endpoint(endpoint_id: UUID, session: WriteDb, caller: Writer) -> None:
    """Its deliveries go with it."""
    await service.delete(session, endpoint_id)


@router.get("/webhook-endpoints/{endpoint_id}/deliveries", responses=responses(NotAllowed, EndpointNotFound))
async def list_webhook_deliveries(
    endpoint_id: UUID,
    session: ReadDb,
    caller: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[list[DeliveryStatus], Query(description="Any of these.", max_length=3)] = [],  # noqa: B006
) -> Page[DeliveryOut]:
    """The newest first."""
    return await service.list_deliveries(session, endpoint_id, limit, cursor, status)


@router.post(
    "/webhook-endpoints/{endpoint_id}/test",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, EndpointNotFound),
)
async def send_test_message(endpoint_id: UUID, session: WriteDb, caller: Writer) -> DeliveryOut:
    """Sends a message of type `webhook.test`; what became of it stands among the deliveries."""
    return await service.send_test(session, endpoint_id)


@router.post(
    "/webhook-deliveries/{delivery_id}/redeliver",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, DeliveryNotFound, DeliveryPending),
)
async def redeliver(delivery_id: UUID, session: WriteDb, caller: Writer) -> DeliveryOut:
    """The same message under the same id, once more."""
    return await service.redeliver(session, delivery_id)
