"""Keeps the summary of every knowledge base up to date: by whichever process sees first that it is not."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update

from services.knowledge_base.summaries.outline import outline_of
from services.knowledge_base.work import submit_work
from shared.database.session import Scope, WriteSession
from shared.database.tables.knowledge import KnowledgeBase
from shared.executions.submit import Ring
from shared.kit.json import JsonObject
from shared.web.resources import Resources

ACTION = "summarise"
# Documents mostly come several at a time: the last has been done for so many seconds.
QUIET = 10.0
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class _Stale:
    tenant_id: UUID
    knowledge_base_id: UUID
    summary_at: datetime | None
    documents: int


async def sweep(app: Resources, quiet: float = QUIET) -> int:
    """Gives the number of knowledge bases that were summarised, or will be by an execution."""
    async with app.database.write(Scope()) as session:
        statement = text("SELECT * FROM knowledge_stale_summaries(:quiet, :most)")
        rows = await session.execute(statement, {"quiet": quiet, "most": _AT_ONCE})
        stale = [_Stale(*row) for row in rows]
    done = 0
    for one in stale:
        async with app.database.write(Scope(one.tenant_id)) as session:
            done += await _summarise(session, one, app.doorbell.ring)
    return done


async def _summarise(session: WriteSession, stale: _Stale, ring: Ring) -> bool:
    """False when another process was faster."""
    outline = await outline_of(session, stale.knowledge_base_id)
    statement = (
        update(KnowledgeBase)
        .where(
            KnowledgeBase.id == stale.knowledge_base_id,
            KnowledgeBase.summary_at.is_not_distinct_from(stale.summary_at),
        )
        .values(summary_at=func.clock_timestamp(), summary_of=stale.documents)
        .returning(KnowledgeBase.name, KnowledgeBase.summary_model_id, KnowledgeBase.summary_at)
    )
    taken = (await session.execute(statement)).one_or_none()
    if taken is None:
        return False
    if taken.summary_model_id is None or not outline.count:
        await _write(session, stale.knowledge_base_id, outline.text())
    else:
        await _submit(session, stale, taken.name, taken.summary_at, ring)
    return True


async def _write(session: WriteSession, knowledge_base_id: UUID, summary: str) -> None:
    await session.execute(update(KnowledgeBase).where(KnowledgeBase.id == knowledge_base_id).values(summary=summary))


async def _submit(session: WriteSession, stale: _Stale, name: str, at: datetime, ring: Ring) -> None:
    spec: JsonObject = {
        "action": ACTION,
        "knowledge_base_id": str(stale.knowledge_base_id),
        "summary_at": at.isoformat(),
    }
    created_by = await session.scalar(
        select(KnowledgeBase.created_by).where(KnowledgeBase.id == stale.knowledge_base_id)
    )
    await submit_work(
        session, ring, tenant_id=stale.tenant_id, name=f"Summarise {name}", spec=spec, created_by=created_by
    )
