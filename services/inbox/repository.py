"""All queries on inbox items: the ledger's waits that ask a person. Row-level security narrows them to the tenant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, literal, literal_column, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from services.inbox.schemas import InboxFilter, InboxSort
from shared.auth.permissions import Role, outranks_or_equals
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.inbox import InboxRead
from shared.database.tables.ledger import ExecutionRow, StepRow, WaitRow
from shared.kit.clock import utcnow
from shared.workflow.states import WaitStatus

# In the words of the indexes' own conditions: with parameters in it the planner would not see that they apply.
_ITEMS: ColumnElement[bool] = literal_column("waits.kind NOT IN ('timer', 'child')")
_OPEN: ColumnElement[bool] = literal_column("waits.status = 'open'")

_ItemSelect = Select[WaitRow, str, str, str, UUID | None, str, bool]

# Items that are never due come after all that are.
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    """A wait, where it stands, and whether the caller has read it."""

    wait: WaitRow
    node: str
    path: str
    execution_name: str
    workflow_id: UUID | None
    execution_status: str
    read: bool

    @property
    def due(self) -> datetime:
        return self.wait.due_at or _NEVER


@dataclass(frozen=True, slots=True)
class Standing:
    """How a person's inbox stands. The last two are there to tell apart what has the same numbers."""

    open: int
    unread: int
    mine: int
    newest: datetime | None
    escalated: int


async def list_items(
    session: ReadSession, caller: Principal, wanted: InboxFilter, *, limit: int, sort: InboxSort, after: Any
) -> list[Item]:
    """`after` are the keys of the last item shown, as `sort` has them; ids sort by time of creation."""
    statement = _items(caller.user_id).where(*_conditions(caller, wanted)).limit(limit)
    due = func.coalesce(WaitRow.due_at, literal(_NEVER))
    match sort:
        case InboxSort.NEWEST:
            statement = statement.order_by(WaitRow.id.desc())
            place = None if after is None else WaitRow.id < after[0]
        case InboxSort.OLDEST:
            statement = statement.order_by(WaitRow.id)
            place = None if after is None else WaitRow.id > after[0]
        case InboxSort.DUE:
            statement = statement.order_by(due, WaitRow.id)
            place = None if after is None else tuple_(due, WaitRow.id) > after
    return await _fetch(session, statement if place is None else statement.where(place))


async def get_item(session: ReadSession, caller: Principal, item_id: UUID) -> Item | None:
    found = await get_items(session, caller, [item_id])
    return found[0] if found else None


async def get_items(session: ReadSession, caller: Principal, item_ids: Iterable[UUID]) -> list[Item]:
    """Those of them that there are, the oldest first."""
    return await _fetch(session, _items(caller.user_id).where(WaitRow.id.in_(item_ids)).order_by(WaitRow.id))


async def read_standing(session: ReadSession, caller: Principal) -> Standing:
    statement = (
        select(
            func.count(),
            func.count().filter(InboxRead.wait_id.is_(None)),
            func.count().filter(_is_for(caller)),
            func.max(WaitRow.created_at),
            func.count(WaitRow.escalated_at),
        )
        .select_from(WaitRow)
        .outerjoin(InboxRead, _read_by(caller.user_id))
        .where(_ITEMS, _OPEN)
    )
    return Standing(*(await session.execute(statement)).one())


async def mark_read(session: WriteSession, caller: Principal, item_ids: Sequence[UUID]) -> None:
    """Ids of what is no item of the tenant's are passed over."""
    # In one order, so that two windows that mark the same ones do not wait for each other.
    known = (
        select(WaitRow.id, literal(caller.user_id), literal(caller.tenant_id), literal(utcnow()))
        .where(_ITEMS, WaitRow.id.in_(item_ids))
        .order_by(WaitRow.id)
    )
    await session.execute(
        insert(InboxRead).from_select(["wait_id", "user_id", "tenant_id", "read_at"], known).on_conflict_do_nothing()
    )


async def mark_unread(session: WriteSession, caller: Principal, item_id: UUID) -> None:
    await session.execute(delete(InboxRead).where(InboxRead.wait_id == item_id, InboxRead.user_id == caller.user_id))


def _read_by(user_id: UUID) -> ColumnElement[bool]:
    return and_(InboxRead.wait_id == WaitRow.id, InboxRead.user_id == user_id)


def _items(user_id: UUID) -> _ItemSelect:
    return (
        select(
            WaitRow,
            StepRow.node,
            StepRow.path,
            ExecutionRow.name,
            ExecutionRow.workflow_id,
            ExecutionRow.status,
            InboxRead.wait_id.is_not(None),
        )
        .join(StepRow, StepRow.id == WaitRow.step_id)
        .join(ExecutionRow, ExecutionRow.id == WaitRow.execution_id)
        .outerjoin(InboxRead, _read_by(user_id))
        .where(_ITEMS)
    )


async def _fetch(session: ReadSession, statement: _ItemSelect) -> list[Item]:
    return [Item(*row) for row in await session.execute(statement)]


def _conditions(caller: Principal, wanted: InboxFilter) -> Iterable[ColumnElement[bool]]:
    if wanted.statuses == (WaitStatus.OPEN,):
        yield _OPEN
    elif wanted.statuses:
        yield WaitRow.status.in_([status.value for status in wanted.statuses])
    if wanted.kinds:
        yield WaitRow.kind.in_([kind.value for kind in wanted.kinds])
    if wanted.mine:
        yield _is_for(caller)
    if wanted.execution_id is not None:
        yield WaitRow.execution_id == wanted.execution_id
    if wanted.workflow_id is not None:
        yield ExecutionRow.workflow_id == wanted.workflow_id
    if wanted.unread is not None:
        yield InboxRead.wait_id.is_(None) if wanted.unread else InboxRead.wait_id.is_not(None)
    yield from _found_by(wanted)


def _found_by(wanted: InboxFilter) -> Iterable[ColumnElement[bool]]:
    if wanted.start is not None:
        yield WaitRow.created_at >= wanted.start
    if wanted.end is not None:
        yield WaitRow.created_at < wanted.end
    if wanted.search:
        fields = (WaitRow.title, ExecutionRow.name)
        yield or_(*(field.icontains(wanted.search, autoescape=True) for field in fields))


def _is_for(caller: Principal) -> ColumnElement[bool]:
    """Assigned to the caller or to a role that he holds, as `waits.assignee_of` says."""
    escalated = WaitRow.escalated_at.is_not(None)
    user_id = case((escalated, WaitRow.escalate_user_id), else_=WaitRow.assignee_user_id)
    role = case((escalated, WaitRow.escalate_role), else_=WaitRow.assignee_role)
    held = [role.value for role in Role if outranks_or_equals(caller.role, role)]
    return or_(user_id == caller.user_id, and_(user_id.is_(None), role.in_(held)))
