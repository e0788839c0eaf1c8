"""The inbox: what executions ask of people, who has read it, and what they answer."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.inbox import repository
from services.inbox.repository import Item
from services.inbox.schemas import (
    BulkError,
    BulkItem,
    BulkOut,
    BulkOutcome,
    BulkRespondRequest,
    InboxCounts,
    InboxFilter,
    InboxItem,
    InboxKind,
    InboxSort,
    ItemAnswer,
    ItemAssignee,
    ItemExecution,
    RespondRequest,
)
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.executions.errors import InboxItemNotFound
from shared.executions.events import publish_inbox
from shared.executions.wait_kinds import actions_of
from shared.executions.waits import Reply, answer, assignee_of
from shared.kit.json import Json
from shared.web.errors import AppError
from shared.web.pagination import Page, decode_cursor, page
from shared.web.resources import Resources
from shared.workflow.states import ExecutionStatus, WaitKind, WaitStatus


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


_BY_ID: tuple[Callable[[str], Any], ...] = (UUID,)
_CURSORS: dict[InboxSort, tuple[Callable[[str], Any], ...]] = {
    InboxSort.NEWEST: _BY_ID,
    InboxSort.OLDEST: _BY_ID,
    InboxSort.DUE: (_moment, UUID),
}


async def list_items(
    session: ReadSession, caller: Principal, wanted: InboxFilter, limit: int, cursor: str | None, sort: InboxSort
) -> Page[InboxItem]:
    after = decode_cursor(cursor, *_CURSORS[sort]) if cursor else None
    items = await repository.list_items(session, caller, wanted, limit=limit + 1, sort=sort, after=after)
    return page(
        items, limit, shape, lambda item: (item.due, item.wait.id) if sort is InboxSort.DUE else (item.wait.id,)
    )


async def read_item(session: ReadSession, caller: Principal, item_id: UUID) -> InboxItem:
    return shape(await _find(session, caller, item_id))


async def count(session: ReadSession, caller: Principal) -> InboxCounts:
    return InboxCounts.model_validate(await repository.read_standing(session, caller))


async def mark_read(session: WriteSession, app: Resources, caller: Principal, item_ids: Sequence[UUID]) -> InboxCounts:
    await repository.mark_read(session, caller, item_ids)
    _tell_other_windows(session, app, caller)
    return await count(session, caller)


async def mark_one(session: WriteSession, app: Resources, caller: Principal, item_id: UUID, *, read: bool) -> InboxItem:
    await _find(session, caller, item_id)
    if read:
        await repository.mark_read(session, caller, [item_id])
    else:
        await repository.mark_unread(session, caller, item_id)
    _tell_other_windows(session, app, caller)
    return await read_item(session, caller, item_id)


async def respond(
    session: WriteSession, app: Resources, caller: Principal, item_id: UUID, request: RespondRequest
) -> InboxItem:
    """As `shared.executions.waits.answer`. Who answers an item has read it."""
    reply = Reply(request.action, request.payload, request.shown_hash)
    await answer(session, item_id, reply, caller, app.redis, app.doorbell.ring)
    await repository.mark_read(session, caller, [item_id])
    return await read_item(session, caller, item_id)


async def respond_to_many(app: Resources, caller: Principal, request: BulkRespondRequest) -> BulkOut:
    """A transaction for each: those that cannot be settled keep none of the others from it."""
    outcomes = [await _respond_to_one(app, caller, request, wanted) for wanted in request.wanted]
    return BulkOut(items=outcomes, settled=sum(outcome.settled for outcome in outcomes))


async def _respond_to_one(
    app: Resources, caller: Principal, request: BulkRespondRequest, wanted: BulkItem
) -> BulkOutcome:
    one = RespondRequest(action=request.action, payload=request.payload, shown_hash=wanted.shown_hash)
    try:
        async with app.database.write(caller.scope) as session:
            item = await respond(session, app, caller, wanted.id, one)
    except AppError as refused:
        error = BulkError(code=refused.code, message=refused.text, details=refused.details)
        return BulkOutcome(id=wanted.id, settled=False, item=None, error=error)
    return BulkOutcome(id=wanted.id, settled=True, item=item, error=None)


def _tell_other_windows(session: WriteSession, app: Resources, caller: Principal) -> None:
    change = {"change": "read", "user_id": str(caller.user_id)}
    session.after_commit(lambda: publish_inbox(app.redis, caller.tenant_id, [change]))


async def _find(session: ReadSession, caller: Principal, item_id: UUID) -> Item:
    item = await repository.get_item(session, caller, item_id)
    if item is None:
        raise InboxItemNotFound
    return item


def shape(item: Item) -> InboxItem:
    wait = item.wait
    return InboxItem(
        id=wait.id,
        kind=InboxKind(wait.kind),
        title=wait.title,
        request=wait.request,
        shown_hash=wait.request_hash,
        actions=actions_of(WaitKind(wait.kind), wait.request),
        status=WaitStatus(wait.status),
        execution=ItemExecution(
            id=wait.execution_id,
            name=item.execution_name,
            workflow_id=item.workflow_id,
            status=ExecutionStatus(item.execution_status),
        ),
        node=item.node,
        path=item.path,
        agent=_agent(wait.request),
        assignee=_assignee(item),
        due_at=wait.due_at,
        escalated_at=wait.escalated_at,
        created_at=wait.created_at,
        settled_at=wait.settled_at,
        answer=_answer(item),
        read=item.read,
    )


def _agent(request: Json) -> str | None:
    agent = request.get("agent") if isinstance(request, dict) else None
    return agent if isinstance(agent, str) else None


def _assignee(item: Item) -> ItemAssignee | None:
    assignee = assignee_of(item.wait)
    if assignee.user_id is None and assignee.role is None:
        return None
    return ItemAssignee(user_id=assignee.user_id, role=assignee.role)


def _answer(item: Item) -> ItemAnswer | None:
    wait = item.wait
    if wait.status != WaitStatus.ANSWERED or wait.answer is None:
        return None
    return ItemAnswer(
        action=wait.answer["action"], value=wait.answer.get("value"), by=wait.answered_by, at=wait.settled_at
    )
