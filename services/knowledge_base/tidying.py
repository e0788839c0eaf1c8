"""After executions that ended without finishing what they had begun: cancelled, failed, or given up as poison."""

import asyncio
from uuid import UUID

from sqlalchemy import delete, select, text, update

from services.knowledge_base import locks, purges
from services.knowledge_base.documents.schemas import OPEN_STATUSES
from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.locks import Keep
from shared.database.session import Scope, WriteSession
from shared.database.tables.knowledge import Chunk, Document, DocumentText, KnowledgeIndex
from shared.database.tables.ledger import ExecutionRow
from shared.kit.json import JsonObject
from shared.kit.logging import get_logger
from shared.web.resources import Resources
from shared.workflow.states import ExecutionStatus

log = get_logger(__name__)

_LOOK_AGAIN = 0.25
_LOOKS = 80
_running: set[asyncio.Task[None]] = set()


def tidy_when_ended(app: Resources, scope: Scope, execution_id: UUID) -> None:
    """For a job that is being cancelled: it cannot know whether that is its end, or another worker goes on with it.

    If this process ends before that shows, the sweep does it.
    """
    task = asyncio.get_running_loop().create_task(_tidy_when_ended(app, scope, execution_id))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _tidy_when_ended(app: Resources, scope: Scope, execution_id: UUID) -> None:
    try:
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_AGAIN)
            async with app.database.read(scope) as session:
                status = await session.scalar(select(ExecutionRow.status).where(ExecutionRow.id == execution_id))
            if status is None or ExecutionStatus(status).ended:
                await tidy(app, scope)
                return
    except Exception as error:  # noqa: BLE001  # the database is away: the sweep comes later
        log.info("what a cancelled ingestion left is seen to later", error=repr(error))


async def sweep(app: Resources) -> int:
    """Gives the number of tenants that had something to be tidied."""
    async with app.database.write(Scope()) as session:
        tenants = [UUID(str(tenant)) for tenant in await session.scalars(text("SELECT knowledge_untidy()"))]
    for tenant_id in tenants:
        await tidy(app, Scope(tenant_id))
    return len(tenants)


async def tidy(app: Resources, scope: Scope) -> None:
    """All that is left lying of one tenant."""
    async with app.database.read(scope) as session:
        lost = list(await session.execute(_LOST))
        given_up = list(await session.scalars(_GIVEN_UP))
    for document_id, execution_id in lost:
        async with app.database.write(scope) as session:
            await _end(session, scope, document_id, execution_id)
    for index_id in given_up:
        async with app.database.write(scope) as session:
            await _forget_index(session, scope, index_id)
    if (lost or given_up) and scope.tenant_id is not None:
        async with app.database.write(scope) as session:
            await purges.submit_purge(session, scope.tenant_id, "Forget what was not finished", app.doorbell.ring)


_ENDED = tuple(status.value for status in ExecutionStatus if status.ended)
_LOST = (
    select(Document.id, Document.execution_id)
    .outerjoin(ExecutionRow, ExecutionRow.id == Document.execution_id)
    .where(Document.status.in_(OPEN_STATUSES), ExecutionRow.id.is_(None) | ExecutionRow.status.in_(_ENDED))
)
_GIVEN_UP = (
    select(KnowledgeIndex.id)
    .outerjoin(ExecutionRow, ExecutionRow.id == KnowledgeIndex.execution_id)
    .where(
        KnowledgeIndex.status == indexes.BUILDING,
        ExecutionRow.id.is_(None) | (ExecutionRow.status == ExecutionStatus.CANCELLED.value),
    )
)


async def _end(session: WriteSession, scope: Scope, document_id: UUID, execution_id: UUID | None) -> None:
    """What was found before stays so; of what was not finished nothing stays."""
    await locks.hold_base_of(session, document_id, Keep.INDEX)
    statement = select(Document).where(
        Document.id == document_id, Document.execution_id == execution_id, Document.status.in_(OPEN_STATUSES)
    )
    document = await session.scalar(statement.with_for_update())
    if document is None:  # deleted, or taken over meanwhile
        return
    execution = None if execution_id is None else await session.get(ExecutionRow, execution_id)
    values = {"status": "failed", "error": _error(execution), "progress": None}
    await session.execute(update(Document).where(Document.id == document_id).values(values))
    for table in (Chunk, DocumentText):
        statement = delete(table).where(table.document_id == document_id)
        if document.revision is not None:
            statement = statement.where(table.revision != document.revision)
        await session.execute(statement)
    assert scope.tenant_id is not None
    purges.note(session, scope.tenant_id, document.knowledge_base_id, document_id=document_id)


def _error(execution: ExecutionRow | None) -> JsonObject:
    if execution is not None and execution.error:
        message = execution.error.get("message", "The document could not be processed.")
        return {"code": str(execution.error.get("code", "internal")), "message": str(message)}
    return {"code": "cancelled", "message": "The processing of the document was cancelled."}


async def _forget_index(session: WriteSession, scope: Scope, index_id: UUID) -> None:
    """The one that answers goes on answering."""
    base = await session.scalar(select(KnowledgeIndex.knowledge_base_id).where(KnowledgeIndex.id == index_id))
    if base is None or not await locks.hold_base(session, base, Keep.TO_MYSELF):
        return
    statement = delete(KnowledgeIndex).where(KnowledgeIndex.id == index_id, KnowledgeIndex.status == indexes.BUILDING)
    base_id = await session.scalar(statement.returning(KnowledgeIndex.knowledge_base_id))
    if base_id is not None and scope.tenant_id is not None:
        purges.note(session, scope.tenant_id, base_id, index_id=index_id)
