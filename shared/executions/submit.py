"""Starting work: an execution is accepted in the same transaction as whatever made it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Header
from pydantic import AfterValidator
from sqlalchemy import Insert, Table, bindparam, func, insert, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.database.session import ReadSession, WriteSession
from shared.database.tables.ledger import EventRow, ExecutionRow
from shared.executions.errors import IdempotencyMismatch
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject, content_hash
from shared.kit.storable import storable
from shared.workflow.states import ExecutionKind, ExecutionStatus, Lane, Origin
from shared.workflow.version import ENGINE_VERSION

Ring = Callable[[], Awaitable[None]]

# How the keys begin under which triggers start executions: nobody else may be first with one of them.
RESERVED_KEYS = ("schedule:", "webhook:")


def _not_reserved(key: str | None) -> str | None:
    if key is not None and key.startswith(RESERVED_KEYS):
        raise ValueError(f"must not begin with {' or '.join(RESERVED_KEYS)}")
    return key


IdempotencyKey = Annotated[
    str | None,
    AfterValidator(_not_reserved),
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="The same key with the same body starts one execution, however often it is sent.",
    ),
]


@dataclass(frozen=True, slots=True)
class Submission:
    """An execution to be. `spec` is everything it runs on, snapshotted; a change made later does not reach it.

    With `idempotency_key` give as `request` what the caller asked for, body and path: it is what tells a repeated
    request from another one that uses the same key. The snapshot would not do, it changes with what it was taken of.

    `origin` and `origin_id` say what it was made of and why; `concurrency_key` is the id of its workflow if that limits
    how many of its executions run at once.
    """

    tenant_id: UUID
    kind: ExecutionKind
    name: str
    spec: JsonObject
    inputs: JsonObject
    lane: Lane = Lane.DEFAULT
    priority: int = 0
    created_by: UUID | None = None
    correlation_id: str | None = None
    workflow_id: UUID | None = None
    workflow_version: int | None = None
    agent_id: UUID | None = None
    origin: Origin | None = None
    origin_id: UUID | None = None
    trigger_id: UUID | None = None
    concurrency_key: UUID | None = None
    budget: JsonObject | None = None
    idempotency_key: str | None = None
    request: Json = None


async def submit(session: WriteSession, submission: Submission, ring: Ring) -> ExecutionRow:
    """Queues the execution and rings for a worker once `session` has committed.

    When the tenant used the idempotency key before, gives the execution of that time, or raises
    `IdempotencyMismatch` if it was for another request. Of many at once with one key, one is queued.
    """
    row = _row(submission)
    if not await _insert(session, row):
        earlier = await find_submitted(session, row.idempotency_key, submission.kind, submission.request)
        assert earlier is not None, "the conflict that stopped the insert was with this row"
        return earlier
    # Nobody listens for an execution whose id nobody knows yet, so its first event is not published.
    session.after_commit(ring)
    return row


async def find_submitted(
    session: ReadSession, key: str | None, kind: ExecutionKind, request: Json
) -> ExecutionRow | None:
    """The execution that the tenant started with this key, to answer a repeated request before looking at what may
    have changed since. Raises `IdempotencyMismatch` when the key was used for another request."""
    if key is None:
        return None
    earlier = await session.scalar(select(ExecutionRow).where(ExecutionRow.idempotency_key == key))
    if earlier is not None and earlier.request_hash != _request_hash(kind, request):
        raise IdempotencyMismatch
    return earlier


def _request_hash(kind: ExecutionKind, request: Json) -> str:
    return content_hash([str(kind), storable(request)])


def _row(submission: Submission) -> ExecutionRow:
    key = submission.idempotency_key
    return ExecutionRow(
        id=new_id(),
        tenant_id=submission.tenant_id,
        kind=str(submission.kind),
        lane=str(submission.lane),
        name=storable(submission.name),
        spec=storable(submission.spec),
        inputs=storable(submission.inputs),
        status=ExecutionStatus.QUEUED.value,
        priority=submission.priority,
        # A holder reads the records of earlier holders. Those that were copied are as good as an earlier holder's.
        epoch=1 if submission.origin is not None and submission.origin.keeps_records else 0,
        last_write=0,
        attempts=0,
        wakes=0,
        depth=0,
        origin=None if submission.origin is None else submission.origin.value,
        origin_id=submission.origin_id,
        trigger_id=submission.trigger_id,
        concurrency_key=submission.concurrency_key,
        budget=submission.budget,
        workflow_id=submission.workflow_id,
        workflow_version=submission.workflow_version,
        agent_id=submission.agent_id,
        correlation_id=submission.correlation_id,
        idempotency_key=key,
        request_hash=None if key is None else _request_hash(submission.kind, submission.request),
        last_seq=1,
        input_tokens=0,
        output_tokens=0,
        cost=0,
        call_count=0,
        engine_version=ENGINE_VERSION,
        created_by=submission.created_by,
    )


async def _insert(session: WriteSession, row: ExecutionRow) -> bool:
    """Waits for another transaction that holds the same key, and says whether this one made the execution."""
    created_at = await session.scalar(_INSERT, {name: getattr(row, name) for name in _GIVEN})
    if created_at is None:
        return False
    row.created_at = created_at
    return True


def _statement() -> Insert:
    """The execution and its first event in one round trip. Made once: to make it costs more than to run it."""
    made = (
        upsert(_EXECUTIONS)
        .values({name: bindparam(name) for name in _GIVEN})
        .on_conflict_do_nothing(
            index_elements=["tenant_id", "idempotency_key"],
            index_where=_EXECUTIONS.c.idempotency_key.is_not(None),
        )
        .returning(_EXECUTIONS.c.tenant_id, _EXECUTIONS.c.id, _EXECUTIONS.c.created_at, _EXECUTIONS.c.status)
        .cte("made")
    )
    data = func.jsonb_build_object("status", made.c.status)
    first = select(made.c.tenant_id, made.c.id, literal(1), literal("execution.status"), made.c.created_at, data)
    return (
        insert(_EVENTS)
        .from_select(["tenant_id", "execution_id", "seq", "type", "at", "data"], first)
        .add_cte(made)
        .returning(_EVENTS.c.at)
    )


_EXECUTIONS: Table = ExecutionRow.metadata.tables[ExecutionRow.__tablename__]
_EVENTS: Table = EventRow.metadata.tables[EventRow.__tablename__]
# What a submission says of an execution; all else begins as the table says.
_GIVEN = (
    "id", "tenant_id", "kind", "lane", "name", "spec", "inputs", "status", "priority", "epoch", "origin", "origin_id",
    "trigger_id", "concurrency_key", "budget", "workflow_id", "workflow_version", "agent_id", "correlation_id",
    "idempotency_key", "request_hash", "last_seq", "engine_version", "created_by",
)  # fmt: skip
_INSERT = _statement()
