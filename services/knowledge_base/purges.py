"""Deleting vectors after the rows they belong to: durable, so that an outage of Chroma leaves none for ever.

The deletion and the intent to purge commit together. An execution does it; what it cannot do stays written down
for the tenant's next purge, and for a sweep that looks for what was left lying.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select, text, update

from shared.auth.principal import Principal
from shared.database.session import ReadSession, Scope, WriteSession
from shared.database.tables.knowledge import KnowledgePurge
from shared.database.tables.ledger import ExecutionRow
from shared.executions.jobs import JobContext, JobFailed
from shared.executions.submit import Ring, Submission, submit
from shared.kit.json import Json, JsonObject
from shared.kit.logging import get_logger
from shared.knowledge.errors import VectorStoreUnavailable
from shared.web.context import correlation_id
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind, ExecutionStatus, Lane

log = get_logger(__name__)

ACTION = "purge"
_SPEC: JsonObject = {"action": ACTION}
_BATCH = 200
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_SWEEP_EVERY = 300.0


async def request(
    session: WriteSession,
    caller: Principal,
    ring: Ring,
    *,
    knowledge_base_id: UUID,
    name: str,
    document_id: UUID | None = None,
) -> None:
    """In the transaction that deletes the document, or without one the whole knowledge base."""
    session.add(
        KnowledgePurge(tenant_id=caller.tenant_id, knowledge_base_id=knowledge_base_id, document_id=document_id)
    )
    await _submit(session, caller.tenant_id, f"Forget {name}", ring, created_by=caller.user_id)


async def purge(context: JobContext) -> Json:
    """The job: deletes every vector of the tenant that is waiting for it, however often it must try."""
    return await context.step(ACTION, lambda: _purge_with_patience(context))


@asynccontextmanager
async def sweeping(app: Resources) -> AsyncGenerator[None]:
    """For the life of a process: now and then submits again what was left lying."""
    task = asyncio.create_task(_sweep_for_ever(app))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def sweep(app: Resources, age: float = _SWEEP_EVERY) -> int:
    """Submits an execution for each tenant whose purges nobody tried for `age` seconds; gives their number."""
    async with app.database.write(Scope()) as session:
        found = await session.scalars(text("SELECT knowledge_overdue_purges(:age)"), {"age": age})
        tenants = [UUID(str(tenant)) for tenant in found]
    for tenant_id in tenants:
        async with app.database.write(Scope(tenant_id)) as session:
            await _submit(session, tenant_id, "Forget what was deleted", app.doorbell.ring)
    return len(tenants)


async def _sweep_for_ever(app: Resources) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY)
        try:
            await sweep(app)
        except Exception:
            log.exception("the sweep for overdue purges failed")


async def _submit(
    session: WriteSession, tenant_id: UUID, name: str, ring: Ring, *, created_by: UUID | None = None
) -> None:
    submission = Submission(
        tenant_id=tenant_id,
        kind=ExecutionKind.INGESTION,
        lane=Lane.INGESTION,
        name=name,
        spec=_SPEC,
        inputs={},
        created_by=created_by,
        correlation_id=correlation_id(),
    )
    await submit(session, submission, ring)


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
            busy = await _being_ingested(session)
        for entry in waiting:
            last = entry.id
            if entry.document_id in busy or (entry.document_id is None and entry.knowledge_base_id in busy):
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
    vectors = context.resources.vectors
    if entry.document_id is None:
        await vectors.drop(entry.knowledge_base_id)
    else:
        await vectors.delete_document(entry.knowledge_base_id, entry.document_id)
    async with context.database.write(Scope(context.tenant_id)) as session:
        await session.execute(delete(KnowledgePurge).where(KnowledgePurge.id == entry.id))


async def _waiting(session: ReadSession, after: UUID | None) -> Sequence[KnowledgePurge]:
    statement = select(KnowledgePurge).order_by(KnowledgePurge.id).limit(_BATCH)
    if after is not None:
        statement = statement.where(KnowledgePurge.id > after)
    return (await session.scalars(statement)).all()


async def _being_ingested(session: ReadSession) -> set[UUID]:
    """Documents and knowledge bases that a running ingestion may still write vectors of.

    It stops as soon as it sees that its document is gone; a purge before that moment could come too early.
    """
    spec = ExecutionRow.spec
    statement = select(spec["document_id"].astext, spec["knowledge_base_id"].astext).where(
        ExecutionRow.kind == ExecutionKind.INGESTION.value,
        ExecutionRow.status == ExecutionStatus.RUNNING.value,
        spec.has_key("document_id"),
    )
    return {UUID(one) for pair in await session.execute(statement) for one in pair}
