"""Which documents a search may find: as a condition for Postgres, and as their ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, and_, any_, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.orm import InstrumentedAttribute

from shared.database.session import ReadSession
from shared.database.tables.knowledge import Document
from shared.knowledge.request import SearchFilters


@dataclass(frozen=True, slots=True)
class Allowed:
    """`documents`: their ids, one after the other. `share` is that of the chunks of all documents."""

    documents: bytes
    chunks: int
    share: float


def condition(knowledge_base_ids: Sequence[UUID], filters: SearchFilters) -> ColumnElement[bool]:
    """What can be found is what belongs to a document's revision, whatever is being done to it."""
    dated = func.coalesce(Document.dated_at, Document.created_at)
    return and_(
        Document.knowledge_base_id.in_(knowledge_base_ids),
        Document.revision.is_not(None),
        Document.tags.overlap(list(filters.tags)) if filters.tags else true(),
        among(Document.id, filters.document_ids) if filters.document_ids else true(),
        dated >= filters.dated_from if filters.dated_from else true(),
        dated <= filters.dated_to if filters.dated_to else true(),
        or_(func.cardinality(Document.agent_ids) == 0, Document.agent_ids.contains([filters.agent_id]))
        if filters.agent_id
        else true(),
    )


def among(column: InstrumentedAttribute[UUID], ids: Sequence[UUID]) -> ColumnElement[bool]:
    """One statement for however many: Postgres plans a list of another length anew."""
    return column == any_(literal(list(ids), ARRAY(PgUuid(as_uuid=True))))


async def allowed(session: ReadSession, knowledge_base_ids: Sequence[UUID], filters: SearchFilters) -> Allowed | None:
    """None: all."""
    if not filters:
        return None
    packed = func.string_agg(func.uuid_send(Document.id), b"")
    chunks = func.coalesce(func.sum(Document.chunk_count), 0)
    mine = condition(knowledge_base_ids, filters)
    every = select(chunks).where(condition(knowledge_base_ids, SearchFilters())).scalar_subquery()
    row = (await session.execute(select(packed, chunks, every).where(mine))).one()
    found, total = row[1] or 0, row[2] or 0
    return Allowed(row[0] or b"", found, found / total if total else 0.0)
