from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Request, status

from services.workflows.errors import UploadTooLarge
from services.workflows.triggers import hooks, service
from services.workflows.triggers.errors import (
    HookDisabled,
    HookFailed,
    HookRefused,
    KindFixed,
    NotAWebhook,
    TriggerNotFound,
)
from services.workflows.triggers.schemas import (
    HookAccepted,
    Preview,
    PreviewRequest,
    Rotated,
    RotateRequest,
    TriggerCreated,
    TriggerOut,
    TriggerSave,
    TriggerSummary,
    TriggerTest,
)
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import VersionNotFound, WorkflowNotFound
from shared.executions.snapshot import InputsInvalid, WorkflowInvalid
from shared.net.addresses import line_of
from shared.triggers.firing import ActsForNobody
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.throttle import TooManyRequests

router = APIRouter(tags=["triggers"])

_MAX_BODY = 1024 * 1024

Reader = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_WRITE))]


def _starter(caller: Writer) -> Principal:
    """A trigger starts workflows for who made it, so he must be allowed to."""
    if not caller.may(Permission.EXECUTIONS_RUN):
        raise NotAllowed
    return caller


Keeper = Annotated[Principal, Depends(_starter)]


@router.get("/workflows/{workflow_id}/triggers", responses=responses(NotAllowed, WorkflowNotFound))
async def list_triggers(
    workflow_id: UUID, session: ReadDb, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[TriggerSummary]:
    """The newest first."""
    return await service.list_triggers(session, workflow_id, limit, cursor)


@router.post(
    "/workflows/{workflow_id}/triggers",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, WorkflowNotFound, VersionNotFound, InputsInvalid),
)
async def create_trigger(
    workflow_id: UUID, request: TriggerSave, session: WriteDb, app: App, caller: Keeper
) -> TriggerCreated:
    """A webhook's URL and secret are in this answer and in no other."""
    return await service.create(session, app, caller, workflow_id, request)


@router.post("/triggers/preview", responses=responses(NotAllowed))
async def preview_schedule(request: PreviewRequest, caller: Reader) -> Preview:
    """The next times of a schedule, before there is one."""
    return service.preview(request)


@router.get("/triggers/{trigger_id}", responses=responses(NotAllowed, TriggerNotFound))
async def get_trigger(trigger_id: UUID, session: ReadDb, caller: Reader) -> TriggerOut:
    """What it started is at `GET /executions?trigger=`."""
    return await service.read(session, trigger_id)


@router.put(
    "/triggers/{trigger_id}",
    responses=responses(NotAllowed, TriggerNotFound, VersionNotFound, KindFixed, InputsInvalid),
)
async def update_trigger(trigger_id: UUID, request: TriggerSave, session: WriteDb, caller: Keeper) -> TriggerOut:
    return await service.update(session, caller, trigger_id, request)


@router.delete(
    "/triggers/{trigger_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, TriggerNotFound),
)
async def delete_trigger(trigger_id: UUID, session: WriteDb, caller: Writer) -> None:
    """What it started stays."""
    await service.delete(session, trigger_id)


@router.post("/triggers/{trigger_id}/enable", responses=responses(NotAllowed, TriggerNotFound))
async def enable_trigger(trigger_id: UUID, session: WriteDb, caller: Keeper) -> TriggerOut:
    """It fires from now on; what it missed while it was disabled stays undone."""
    return await service.switch(session, caller, trigger_id, on=True)


@router.post("/triggers/{trigger_id}/disable", responses=responses(NotAllowed, TriggerNotFound))
async def disable_trigger(trigger_id: UUID, session: WriteDb, caller: Writer) -> TriggerOut:
    return await service.switch(session, caller, trigger_id, on=False)


@router.post(
    "/triggers/{trigger_id}/test",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, TriggerNotFound, ActsForNobody, VersionNotFound, WorkflowInvalid, InputsInvalid),
)
async def send_test_delivery(
    trigger_id: UUID, app: App, caller: Keeper, request: Annotated[TriggerTest | None, Body()] = None
) -> HookAccepted:
    """Fires it now. A webhook gets a signed delivery with the body given."""
    return await hooks.send_test(app, caller, trigger_id, (request or TriggerTest()).body)


@router.post("/triggers/{trigger_id}/rotate-secret", responses=responses(NotAllowed, TriggerNotFound, NotAWebhook))
async def rotate_secret(
    trigger_id: UUID,
    session: WriteDb,
    app: App,
    caller: Keeper,
    request: Annotated[RotateRequest | None, Body()] = None,
) -> Rotated:
    """The secret is in this answer and in no other. The one before stays good for a while."""
    return await service.rotate_secret(session, app, trigger_id, (request or RotateRequest()).grace_seconds)


@router.post(
    "/hooks/{token}",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(HookRefused, HookDisabled, HookFailed, UploadTooLarge, TooManyRequests),
)
async def receive_delivery(token: str, request: Request, app: App) -> HookAccepted:
    """For the outside world: needs no sign-in. A delivery is signed as Standard Webhooks has it, and starts the
    workflow once however often it is sent with the same `webhook-id`.

    `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`; its
    key is what the base64 after `whsec_` in the trigger's secret stands for. `webhook-timestamp`, in seconds since
    1970, may be five minutes off. The body, JSON, is the workflow's inputs, unless the trigger makes them of it."""
    delivery = hooks.Delivery(dict(request.headers), dict(request.query_params), await _body(request))
    return await hooks.receive(app, token, line_of(request.client.host) if request.client else "-", delivery)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            raise UploadTooLarge(f"A delivery may have at most {_MAX_BODY:,} bytes.")
    return bytes(body)
