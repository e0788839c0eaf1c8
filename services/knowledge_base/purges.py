"""Deleting vectors after the rows they belong to: durable, so that an outage of Chroma leaves none for ever.

The deletion and the intent to purge commit together. An execution does it; what it cannot do stays written down
for the tenant's next purge, and for a sweep that looks for what was left lying.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, text, update

from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.indexes.strays import remove_strays
from services.knowledge_base.work import submit_work
from shared.auth.principal import Principal
from shared.database.session import ReadSession, Scope, WriteSession
from shared.database.tables.knowledge import KnowledgePurge
from shared.database.tables.ledger import ExecutionRow
from shared.executions.jobs import JobContext, JobFailed
from shared.executions.submit import Ring
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject
from shared.knowledge.errors import VectorStoreUnavailable
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind, ExecutionStatus

ACTION = "purge"
_SPEC: JsonObject = {"action": ACTION}
_BATCH = 200
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
OVERDUE = 300.0
_CLOCKS_DIFFER = timedelta(seconds=5)


async def request(
    session: WriteSession,
    caller: Principal,
    ring: Ring,
    *,
    knowledge_base_id: UUID,
    name: str,
    document_id: UUID | None = None,
) -> None:
    """In the transaction that deletes the document, or without one the whole knowledge base: before it is deleted."""
    if document_id is None:
        for index in await indexes.list_indexes(session, [knowledge_base_id]):
            note(session, caller.tenant_id, knowledge_base_id, index_id=index.id)
    note(session, caller.tenant_id, knowledge_base_id, document_id=document_id)
    await submit_purge(session, caller.tenant_id, f"Forget {name}", ring, created_by=caller.user_id)


def note(
    session: WriteSession,
    tenant_id: UUID,
    knowledge_base_id: UUID,
    *,
    index_id: UUID | None = None,
    document_id: UUID | None = None,
    delay: timedelta = timedelta(),
) -> UUID:
    """Writes down what is to be removed: what the document has no more, or a whole index. It is done by the tenant's
    next purge, or by the sweep; not before `delay` is over."""
    entry = KnowledgePurge(
        id=new_id(),
        tenant_id=tenant_id,
        knowledge_base_id=knowledge_base_id,
        index_id=index_id,
        document_id=document_id,
        tried_at=func.now() + delay,
    )
    session.add(entry)
    return entry.id


async def settle(session: WriteSession, purge_id: UUID) -> None:
    await session.execute(delete(KnowledgePurge).where(KnowledgePurge.id == purge_id))


async def purge(context: JobContext) -> Json:
    """The job: deletes every vector of the tenant that is waiting for it, however often it must try."""
    return await context.step(ACTION, lambda: _purge_with_patience(context))


async def sweep(app: Resources, age: float = OVERDUE) -> int:
    """Submits an execution for each tenant whose purges nobody tried for `age` seconds; gives their number."""
    async with app.database.write(Scope()) as session:
        found = await session.scalars(text("SELECT knowledge_overdue_purges(:age)"), {"age": age})
        tenants = [UUID(str(tenant)) for tenant in found]
    for tenant_id in tenants:
        async with app.database.write(Scope(tenant_id)) as session:
            await submit_purge(session, tenant_id, "Forget what was deleted", app.doorbell.ring)
    return len(tenants)


async def submit_purge(
    session: WriteSession, tenant_id: UUID, name: str, ring: Ring, *, created_by: UUID | None = None
) -> None:
    await submit_work(session, ring, tenant_id=tenant_id, name=name, spec=_SPEC, created_by=created_by)


@dataclass(slots=True)
class _Round:
    purged: int = 0
    busy: int = 0
    unavailable: bool = False


async def _purge_with_patience(context: JobContext) -> Json:
    purged = 0
    for pause in (*_PAUSES, None):
        done = await _purge_what_can_be(context)
        purged += done.purged
        if not done.busy and not done.unavailable:
            return {"purged": purged}
        if pause is not None:
            context.log("info", "waiting for the vector store" if done.unavailable else "waiting for an ingestion")
            await asyncio.sleep(pause)
    raise JobFailed(VectorStoreUnavailable.code, "The vectors could not be deleted now; they will be later.")


async def _purge_what_can_be(context: JobContext) -> _Round:
    done = _Round()
    last: UUID | None = None
    while True:
        async with context.database.read(Scope(context.tenant_id)) as session:
            waiting = await _waiting(session, last)
            running = await _running(session)
        for entry, is_due in waiting:
            last = entry.id
            if not is_due or any(one.may_write(entry) for one in running):
                done.busy += 1
                continue
            try:
                await _purge_one(context, entry)
            except VectorStoreUnavailable:
                done.unavailable = True
                return done
            done.purged += 1
        if len(waiting) < _BATCH:
            return done


async def _purge_one(context: JobContext, entry: KnowledgePurge) -> None:
    async with context.database.write(Scope(context.tenant_id)) as session:
        await session.execute(update(KnowledgePurge).where(KnowledgePurge.id == entry.id).values(tried_at=func.now()))
    if entry.document_id is not None:
        scope = Scope(context.tenant_id)
        await remove_strays(context.resources, scope, entry.knowledge_base_id, entry.document_id)
    else:
        await _drop(context, entry.index_id or entry.knowledge_base_id)
    async with context.database.write(Scope(context.tenant_id)) as session:
        await settle(session, entry.id)


async def _drop(context: JobContext, index_id: UUID) -> None:
    async with context.database.read(Scope(context.tenant_id)) as session:
        if await indexes.exists(session, index_id):  # never what answers, whatever was written down
            return
    await context.resources.vectors.drop(index_id)


async def _waiting(session: ReadSession, after: UUID | None) -> list[tuple[KnowledgePurge, bool]]:
    """With whether its time has come."""
    statement = select(KnowledgePurge, KnowledgePurge.tried_at <= func.now()).order_by(KnowledgePurge.id).limit(_BATCH)
    if after is not None:
        statement = statement.where(KnowledgePurge.id > after)
    return [(entry, is_due) for entry, is_due in await session.execute(statement)]


@dataclass(frozen=True, slots=True)
class _Running:
    """An execution that may still write vectors: it stops as soon as it sees that what it writes to is gone. A purge
    before that moment could come too early."""

    knowledge_base_id: str
    document_id: str | None
    started_at: datetime

    def may_write(self, entry: KnowledgePurge) -> bool:
        if entry.document_id is not None:
            return self.document_id == str(entry.document_id)
        # What began later has seen that it is gone.
        noted_at = datetime.fromtimestamp((entry.id.int >> 80) / 1000, UTC)
        return self.knowledge_base_id == str(entry.knowledge_base_id) and self.started_at < noted_at + _CLOCKS_DIFFER


async def _running(session: ReadSession) -> list[_Running]:
    spec = ExecutionRow.spec
    statement = select(
        spec["knowledge_base_id"].astext,
        spec["document_id"].astext,
        func.coalesce(ExecutionRow.started_at, ExecutionRow.created_at),
    ).where(
        ExecutionRow.kind == ExecutionKind.INGESTION.value,
        ExecutionRow.status == ExecutionStatus.RUNNING.value,
        spec.has_key("knowledge_base_id"),
    )
    return [_Running(*row) for row in await session.execute(statement)]
