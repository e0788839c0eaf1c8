from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Depends, Query
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.kit.json import Json, canonical
from shared.kit.storable import storable
from shared.web.errors import ErrorDetail, Invalid
from shared.web.schemas import Moment, RequestModel, ResponseModel, Text, Timestamp
from shared.workflow.states import Action, ExecutionStatus, WaitKind, WaitStatus

MAX_PAYLOAD_BYTES = 256_000
MAX_BULK = 100


class InboxKind(StrEnum):
    """The kinds of waits that ask a person."""

    APPROVAL = WaitKind.APPROVAL.value
    QUESTION = WaitKind.QUESTION.value
    TOOL_APPROVAL = WaitKind.TOOL_APPROVAL.value
    CALL_IN_DOUBT = WaitKind.CALL_IN_DOUBT.value
    BUDGET = WaitKind.BUDGET.value


class InboxSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"
    DUE = "due_at"


class AssignedTo(StrEnum):
    ME = "me"
    ANYONE = "anyone"


def _as_it_is(value: Json) -> Json:
    """What a person answers is kept to the letter or refused."""
    if storable(value) is not value:
        raise ValueError("must not contain NUL characters, half surrogate pairs, huge numbers or endless nesting")
    if len(canonical(value)) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"must not be larger than {MAX_PAYLOAD_BYTES:,} bytes")
    return value


Payload = Annotated[
    Any,
    AfterValidator(_as_it_is),
    Field(description="What the action needs: the edited payload or arguments, the answer, words. Null is none."),
]
ShownHash = Annotated[
    str, StringConstraints(max_length=200), Field(description="The item's `shown_hash`: answer this and nothing else.")
]


class RespondRequest(RequestModel):
    action: Action
    payload: Payload = None
    shown_hash: ShownHash | None = None


class BulkItem(RequestModel):
    id: UUID
    shown_hash: ShownHash | None = None


class BulkRespondRequest(RequestModel):
    """The same answer to all of `ids`, or of `items` where each should hold only for what was shown."""

    ids: list[UUID] = Field(default=[], max_length=MAX_BULK)
    items: list[BulkItem] = Field(default=[], max_length=MAX_BULK)
    action: Action
    payload: Payload = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.ids) == bool(self.items):
            raise ValueError("give either ids or items")
        wanted = [item.id for item in self.wanted]
        if len(set(wanted)) < len(wanted):
            raise ValueError("the same item is named twice")
        return self

    @property
    def wanted(self) -> list[BulkItem]:
        return self.items or [BulkItem(id=item_id) for item_id in self.ids]


class MarkReadRequest(RequestModel):
    ids: list[UUID] = Field(min_length=1, max_length=MAX_BULK)


class ItemExecution(ResponseModel):
    id: UUID
    name: str
    workflow_id: UUID | None
    status: ExecutionStatus


class ItemAssignee(ResponseModel):
    """One person, or everybody of a role and above."""

    user_id: UUID | None
    role: str | None


class ItemAnswer(ResponseModel):
    action: Action
    value: Any
    by: UUID | None
    at: Timestamp | None


class InboxItem(ResponseModel):
    """Something that an execution asks of people. `agent` is the name of the agent that wants it, if one does;
    `assignee` whom it is for now, null for whoever may answer; `read` whether the caller has read it.

    `request` is what is asked. `approval`: `message`, `payload`, `editable`. `question`: `question`, `answer_schema`,
    `choices`. `tool_approval`: `tool`, `arguments`, `parameters` (their JSON Schema), `agent`. `call_in_doubt`: what is
    known of a call that must not be made twice: `call`, `name`, `arguments` or `request`, `started_at`,
    `idempotency_key`. `budget`: `budget`, `limit`, `spent`, `call`."""

    id: UUID
    kind: InboxKind
    title: str
    request: Any
    shown_hash: str
    actions: list[Action]
    status: WaitStatus
    execution: ItemExecution
    node: str
    path: str
    agent: str | None
    assignee: ItemAssignee | None
    due_at: Timestamp | None
    escalated_at: Timestamp | None
    created_at: Timestamp
    settled_at: Timestamp | None
    answer: ItemAnswer | None
    read: bool


class InboxCounts(ResponseModel):
    """Of the items that are open: all, those that the caller has not read, those that are assigned to him."""

    open: int
    unread: int
    mine: int


class BulkError(ResponseModel):
    code: str
    message: str
    details: list[ErrorDetail]


class BulkOutcome(ResponseModel):
    """`item` is the item as answered, or else `error` says why it is not."""

    id: UUID
    settled: bool
    item: InboxItem | None
    error: BulkError | None


class BulkOut(ResponseModel):
    items: list[BulkOutcome]
    settled: int


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """Whatever is None or empty does not narrow. Times are those of creation: `start` included, `end` not."""

    statuses: tuple[WaitStatus, ...] = (WaitStatus.OPEN,)
    kinds: tuple[InboxKind, ...] = ()
    mine: bool = False
    execution_id: UUID | None = None
    workflow_id: UUID | None = None
    unread: bool | None = None
    start: datetime | None = None
    end: datetime | None = None
    search: str | None = None


def _filter(
    status: Annotated[list[WaitStatus], Query(description="Any of these.", max_length=4)] = [WaitStatus.OPEN],  # noqa: B006
    kind: Annotated[list[InboxKind], Query(description="Any of these.", max_length=5)] = [],  # noqa: B006
    assigned_to: Annotated[AssignedTo, Query(description="`me` counts roles that you hold.")] = AssignedTo.ANYONE,
    execution: Annotated[UUID | None, Query(description="The execution's id.")] = None,
    workflow: Annotated[UUID | None, Query(description="The workflow's id.")] = None,
    unread: Annotated[bool | None, Query(description="Not read by you yet; false: read.")] = None,
    start: Annotated[Moment | None, Query(alias="from", description="Created at or after.")] = None,
    end: Annotated[Moment | None, Query(alias="to", description="Created before.")] = None,
    q: Annotated[
        Text | None, Query(max_length=200, description="Part of the title or of the execution's name.")
    ] = None,
) -> InboxFilter:
    if start is not None and end is not None and start >= end:
        detail = ErrorDetail(field="query.to", message="must be later than from", code="range")
        raise Invalid("`from` must be earlier than `to`.", details=[detail])
    return InboxFilter(
        statuses=tuple(dict.fromkeys(status)),
        kinds=tuple(kind),
        mine=assigned_to is AssignedTo.ME,
        execution_id=execution,
        workflow_id=workflow,
        unread=unread,
        start=start,
        end=end,
        search=q,
    )


Filtered = Annotated[InboxFilter, Depends(_filter)]
