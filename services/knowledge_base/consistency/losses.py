"""Collections that Chroma has lost: they are filled again from Postgres, without anybody having to ask."""

from collections import defaultdict
from uuid import UUID

from sqlalchemy import select, text

from services.knowledge_base.bases import repository as bases
from services.knowledge_base.consistency import service
from shared.database.session import Scope, WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.kit.logging import get_logger
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind, ExecutionStatus

log = get_logger(__name__)

_OPEN = tuple(status.value for status in ExecutionStatus if not status.ended)


async def sweep(app: Resources) -> int:
    """Gives the number of repairs that it has submitted."""
    async with app.database.write(Scope()) as session:
        found = list(await session.execute(text("SELECT * FROM knowledge_filled_indexes()")))
    if not found:
        return 0
    there = await app.vectors.all_indexes()  # after: what is made meanwhile is no loss
    lost: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for row in found:
        if row.index_id not in there:
            lost[row.tenant_id].append(row.knowledge_base_id)
    submitted = 0
    for tenant_id, knowledge_base_ids in lost.items():
        for knowledge_base_id in knowledge_base_ids:
            async with app.database.write(Scope(tenant_id)) as session:
                submitted += await _repair(session, app, knowledge_base_id)
    return submitted


async def _repair(session: WriteSession, app: Resources, knowledge_base_id: UUID) -> bool:
    """Once, however many look: the knowledge base is locked, and a check that is under way is enough."""
    base = await bases.lock_base(session, knowledge_base_id)
    if base is None or await _is_looked_after(session, knowledge_base_id):
        return False
    log.warning("the vector store has lost a collection; it is filled again", knowledge_base_id=str(base.id))
    await service.start_check(session, base, app.doorbell.ring, repair=True, created_by=None)
    return True


async def _is_looked_after(session: WriteSession, knowledge_base_id: UUID) -> bool:
    statement = select(ExecutionRow.id).where(
        ExecutionRow.kind == ExecutionKind.INGESTION.value,
        ExecutionRow.status.in_(_OPEN),
        ExecutionRow.spec["knowledge_base_id"].astext == str(knowledge_base_id),
        ~ExecutionRow.spec.has_key("document_id"),
    )
    return await session.scalar(statement.limit(1)) is not None
