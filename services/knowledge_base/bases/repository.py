from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import and_, func, select

from services.knowledge_base.bases.schemas import KnowledgeBaseSort
from services.knowledge_base.documents.repository import shown_status
from services.knowledge_base.documents.schemas import OPEN_STATUSES
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Document, KnowledgeBase
from shared.database.tables.ledger import ExecutionRow
from shared.database.tables.models import Model
from shared.llm.settings import ModelKind


@dataclass(slots=True)
class Contents:
    by_status: dict[str, int] = field(default_factory=dict[str, int])
    searchable: int = 0
    chunks: int = 0
    size_bytes: int = 0


async def list_bases(
    session: ReadSession, *, name: str | None, after: UUID | None, limit: int, sort: KnowledgeBaseSort
) -> Sequence[KnowledgeBase]:
    """`after` is the last one shown; ids sort by time of creation."""
    newest = sort is KnowledgeBaseSort.NEWEST
    statement = select(KnowledgeBase).order_by(KnowledgeBase.id.desc() if newest else KnowledgeBase.id).limit(limit)
    if name:
        statement = statement.where(KnowledgeBase.name.icontains(name, autoescape=True))
    if after is not None:
        statement = statement.where(KnowledgeBase.id < after if newest else KnowledgeBase.id > after)
    return (await session.scalars(statement)).all()


async def get_base(session: ReadSession, knowledge_base_id: UUID) -> KnowledgeBase | None:
    return await session.get(KnowledgeBase, knowledge_base_id)


async def is_chat_model(session: ReadSession, model_id: UUID) -> bool:
    kind = await session.scalar(select(Model.kind).where(Model.id == model_id))
    return kind == ModelKind.CHAT


async def lock_base(session: WriteSession, knowledge_base_id: UUID) -> KnowledgeBase | None:
    return await session.scalar(select(KnowledgeBase).where(KnowledgeBase.id == knowledge_base_id).with_for_update())


async def count_contents(session: ReadSession, knowledge_base_ids: Sequence[UUID]) -> dict[UUID, Contents]:
    """A document whose execution ended without it counts as failed, as it is shown."""
    status = shown_status()
    statement = (
        select(
            Document.knowledge_base_id,
            status,
            func.count(),
            func.count(Document.revision),
            func.sum(Document.chunk_count).filter(Document.revision.is_not(None)),
            func.sum(Document.size_bytes),
        )
        .outerjoin(ExecutionRow, and_(Document.status.in_(OPEN_STATUSES), ExecutionRow.id == Document.execution_id))
        .where(Document.knowledge_base_id.in_(knowledge_base_ids))
        .group_by(Document.knowledge_base_id, status)
    )
    found = {base: Contents() for base in knowledge_base_ids}
    for base, state, documents, searchable, chunks, size in await session.execute(statement):
        contents = found[base]
        contents.by_status[state] = documents
        contents.searchable += searchable
        contents.chunks += chunks or 0
        contents.size_bytes += int(size or 0)
    return found
