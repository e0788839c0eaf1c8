"""Answering what an execution asks of people. Each wait is settled once: of many answers the first one counts."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB

from shared.auth.permissions import Role, outranks_or_equals
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.auth import User
from shared.database.tables.ledger import WaitRow
from shared.executions.budgets import raise_limits
from shared.executions.errors import InboxItemNotFound, InboxItemSettled, NotAssigned, ShownHashMismatch
from shared.executions.events import InboxChange, announce, announce_inbox
from shared.executions.submit import Ring
from shared.executions.wait_kinds import check_answer
from shared.kit.json import Json
from shared.web.errors import ErrorDetail
from shared.workflow.states import Action, ExecutionStatus, WaitKind, WaitStatus


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person does about an item. With `shown_hash` it holds only for what had that hash."""

    action: Action
    value: Json = None
    shown_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Assignee:
    """One person, or everybody of a role and above; neither of them: whoever may answer at all."""

    user_id: UUID | None
    role: str | None

    def includes(self, user_id: UUID, role: Role) -> bool:
        if self.user_id is not None:
            return user_id == self.user_id
        return self.role is None or outranks_or_equals(role, self._least)

    @property
    def _least(self) -> Role:
        # Graphs may name a role that there is not: what nobody could answer falls to those who run the place.
        return Role(self.role) if self.role in list(Role) else Role.ADMIN


def assignee_of(row: WaitRow) -> Assignee:
    """Whom it is for now: once it has been escalated, somebody else than at first."""
    if row.escalated_at is not None:
        return Assignee(row.escalate_user_id, row.escalate_role)
    return Assignee(row.assignee_user_id, row.assignee_role)


async def answer(
    session: WriteSession, wait_id: UUID, reply: Reply, by: Principal, redis: Redis, ring: Ring
) -> WaitRow:
    """Settles the wait and, once `session` has committed, wakes its execution.

    Nothing changes if this raises: `InboxItemNotFound`, `NotAssigned`, `InboxItemSettled` (somebody was faster, its
    time was up, or its execution has ended), `ShownHashMismatch`, `ActionNotOffered`, `PayloadInvalid`.
    """
    row = await _find(session, wait_id)
    await _require_assigned(session, row, by)
    if row.status != WaitStatus.OPEN:
        raise await _settled(session, row)
    if reply.shown_hash is not None and reply.shown_hash != row.request_hash:
        raise ShownHashMismatch
    check_answer(WaitKind(row.kind), row.request, reply.action, reply.value)
    if row.kind == WaitKind.BUDGET:
        await raise_limits(session, row.request, reply.value, by)
    won, execution_status = await _settle(session, row, reply, by)
    await session.refresh(row)
    if not won:
        raise await _settled(session, row)

    async def tell() -> None:
        await announce_inbox(redis, row.tenant_id, InboxChange.SETTLED, [row.id])
        if execution_status == ExecutionStatus.QUEUED:
            await ring()
        else:
            await announce(redis, [], look=[row.execution_id])

    session.after_commit(tell)
    return row


async def _find(session: ReadSession, wait_id: UUID) -> WaitRow:
    row = await session.get(WaitRow, wait_id)
    if row is None or not WaitKind(row.kind).asks_a_person:
        raise InboxItemNotFound
    return row


async def _settle(session: WriteSession, row: WaitRow, reply: Reply, by: Principal) -> tuple[bool, str]:
    given = {"action": reply.action.value, "value": reply.value}
    settled = await session.execute(_SETTLE, {"wait": row.id, "answer": given, "by": by.user_id})
    outcome = settled.one()
    return outcome.won, outcome.status


_SETTLE: Any = text("SELECT won, status FROM ledger_settle_wait(:wait, 'answered', :answer, :by)").bindparams(
    bindparam("answer", type_=JSONB)
)


async def _require_assigned(session: ReadSession, row: WaitRow, by: Principal) -> None:
    assignee = assignee_of(row)
    if assignee.includes(by.user_id, by.role):
        return
    if assignee.user_id is None:
        raise NotAssigned(f"The item is for the role {assignee.role} and those above it.")
    if not outranks_or_equals(by.role, Role.ADMIN):
        name = await _name(session, assignee.user_id)
        raise NotAssigned(f"The item is for {name}; besides, an admin or an owner may answer it.")


async def _settled(session: ReadSession, row: WaitRow) -> InboxItemSettled:
    if row.status == WaitStatus.EXPIRED:
        message = "The item's time was up before anybody answered."
    elif row.status == WaitStatus.ANSWERED and row.answered_by is not None:
        message = f"{await _name(session, row.answered_by)} has answered the item already."
    else:
        message = "The item is closed, for its execution has ended."
    # An execution that has just ended closes its items in an instant.
    status = WaitStatus.CLOSED.value if row.status == WaitStatus.OPEN else row.status
    known = {
        "status": status,
        "action": (row.answer or {}).get("action"),
        "by": row.answered_by,
        "at": row.settled_at and row.settled_at.isoformat(),
    }
    details = [
        ErrorDetail(field=field, message=str(value), code="settled")
        for field, value in known.items()
        if value is not None
    ]
    return InboxItemSettled(message, details=details)


async def _name(session: ReadSession, user_id: UUID) -> str:
    name = await session.scalar(select(User.display_name).where(User.id == user_id))
    return name or "somebody who is no longer here"
