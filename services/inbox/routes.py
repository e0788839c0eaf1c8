from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from services.inbox import service
from services.inbox.schemas import (
    BulkOut,
    BulkRespondRequest,
    Filtered,
    InboxCounts,
    InboxItem,
    InboxSort,
    MarkReadRequest,
    RespondRequest,
)
from services.inbox.streaming import feed
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import (
    ActionNotOffered,
    InboxItemNotFound,
    InboxItemSettled,
    NotAssigned,
    PayloadInvalid,
    ShownHashMismatch,
)
from shared.kit.json import JsonObject, dumps
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.streaming import Admission, Authorization, EventStreamResponse, server_sent_events

router = APIRouter(prefix="/inbox", tags=["inbox"])

Reader = Annotated[Principal, Depends(requires(Permission.INBOX_READ))]
Responder = Annotated[Principal, Depends(requires(Permission.INBOX_RESPOND))]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`event:` is `counts` or `item`, `data:` what is described above.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_REFUSALS = (
    NotAllowed,
    NotAssigned,
    InboxItemNotFound,
    InboxItemSettled,
    ShownHashMismatch,
    ActionNotOffered,
    PayloadInvalid,
)


@router.get("", responses=responses(NotAllowed))
async def list_inbox(
    session: ReadDb,
    caller: Reader,
    wanted: Filtered,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: InboxSort = InboxSort.NEWEST,
) -> Page[InboxItem]:
    """What executions ask of people; what is open, unless another status is asked for."""
    return await service.list_items(session, caller, wanted, limit, cursor, sort)


@router.get("/counts", responses=responses(NotAllowed))
async def count_inbox(session: ReadDb, caller: Reader) -> InboxCounts:
    return await service.count(session, caller)


@router.get("/stream", response_class=EventStreamResponse, responses=_STREAM | responses(NotAllowed))
async def stream_inbox(app: App, caller: Reader, authorization: Authorization = None) -> EventStreamResponse:
    """The inbox as it changes. `counts` is `{"open", "unread", "mine"}`: sent first, and whenever they change.
    `item` is `{"change": "new" | "settled" | "escalated", "item": {...}}`.

    What happens while nobody reads is not sent later. After a reconnect, and when the counts do not agree with the
    items that came, read the list again.
    """
    admission = Admission(caller, authorization, Permission.INBOX_READ)
    return EventStreamResponse(server_sent_events(feed(app, admission), _encode))


@router.post("/respond", responses=responses(NotAllowed))
async def respond_to_many(app: App, caller: Responder, request: BulkRespondRequest) -> BulkOut:
    """The same answer to many items. Each is settled by itself or not at all, and says which."""
    return await service.respond_to_many(app, caller, request)


@router.post("/mark-read", responses=responses(NotAllowed))
async def mark_many_read(session: WriteDb, app: App, caller: Reader, request: MarkReadRequest) -> InboxCounts:
    """For the caller alone. Ids that are not there are passed over."""
    return await service.mark_read(session, app, caller, request.ids)


@router.get("/{item_id}", responses=responses(NotAllowed, InboxItemNotFound))
async def get_inbox_item(item_id: UUID, session: ReadDb, caller: Reader) -> InboxItem:
    return await service.read_item(session, caller, item_id)


@router.post("/{item_id}/mark-read", responses=responses(NotAllowed, InboxItemNotFound))
async def mark_read(item_id: UUID, session: WriteDb, app: App, caller: Reader) -> InboxItem:
    return await service.mark_one(session, app, caller, item_id, read=True)


@router.post("/{item_id}/mark-unread", responses=responses(NotAllowed, InboxItemNotFound))
async def mark_unread(item_id: UUID, session: WriteDb, app: App, caller: Reader) -> InboxItem:
    return await service.mark_one(session, app, caller, item_id, read=False)


@router.post("/{item_id}/respond", responses=responses(*_REFUSALS))
async def respond(item_id: UUID, session: WriteDb, app: App, caller: Responder, request: RespondRequest) -> InboxItem:
    """Settles the item, once: of many answers the first one counts. `actions` of the item says what it takes.

    `edit` needs what is to take the place of the payload or of the tool's arguments, `respond` the answer or words.
    An approval takes words with `accept` and `ignore` too, a budget's question `{"raise": {...}}` with `accept`.
    """
    return await service.respond(session, app, caller, item_id, request)


def _encode(event: JsonObject) -> str:
    return f"event: {event['type']}\ndata: {dumps(event['data'])}\n\n"
