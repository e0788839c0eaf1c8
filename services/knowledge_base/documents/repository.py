from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, select, update

from services.knowledge_base import locks
from services.knowledge_base.documents.schemas import OPEN_STATUSES, DocumentSort, DocumentSource, DocumentStatus
from services.knowledge_base.locks import Keep
from shared.database.session import ReadSession, WriteSession
from shared.database.sorting import Sorting, by_name
from shared.database.tables.agents import Agent
from shared.database.tables.knowledge import Document, KnowledgeBase
from shared.database.tables.ledger import ExecutionRow
from shared.kit.json import JsonObject

_LOST = ("failed", "cancelled")
_COMMONEST_TAGS = 200

# Ids sort by time of creation.
SORTINGS = {
    DocumentSort.NEWEST: Sorting(Document.id, Document.id, True, UUID),
    DocumentSort.OLDEST: Sorting(Document.id, Document.id, False, UUID),
    DocumentSort.NAME: by_name(Document.name, Document.id, descending=False),
    DocumentSort.NAME_DOWN: by_name(Document.name, Document.id, descending=True),
}


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document as its execution lets it appear: one whose execution ended without it is failed."""

    document: Document
    status: DocumentStatus
    execution_status: str | None
    execution_error: JsonObject | None


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """`parent`: what one archive holds, or `none` of them does. Of `tags` a document has all."""

    status: DocumentStatus | None = None
    name: str | None = None
    tags: Sequence[str] = ()
    source: DocumentSource | None = None
    parent: UUID | Literal["none"] | None = None


def shown_status() -> ColumnElement[str]:
    """Of documents beside their executions: one whose execution ended without it is failed."""
    lost = and_(Document.status.in_(OPEN_STATUSES), ExecutionRow.status.in_(_LOST))
    return case((lost, DocumentStatus.FAILED.value), else_=Document.status)


_Views = Select[Document, str, str | None, JsonObject | None]


def _views() -> _Views:
    statement = select(Document, shown_status(), ExecutionRow.status, ExecutionRow.error)
    return cast(_Views, statement.outerjoin(ExecutionRow, ExecutionRow.id == Document.execution_id))


async def _fetch(session: ReadSession, statement: _Views) -> list[DocumentView]:
    return [
        DocumentView(document, DocumentStatus(status), execution, error)
        for document, status, execution, error in await session.execute(statement)
    ]


async def list_documents(
    session: ReadSession,
    knowledge_base_id: UUID,
    wanted: DocumentFilter,
    *,
    sort: DocumentSort,
    after: tuple[Any, UUID] | None,
    limit: int,
) -> list[DocumentView]:
    statement = _views().where(Document.knowledge_base_id == knowledge_base_id)
    if wanted.status is not None:
        statement = statement.where(shown_status() == wanted.status.value)
    if wanted.name:
        statement = statement.where(Document.name.icontains(wanted.name, autoescape=True))
    if wanted.tags:
        statement = statement.where(Document.tags.contains(list(wanted.tags)))
    if wanted.source is not None:
        statement = statement.where(Document.source == wanted.source.value)
    if wanted.parent is not None:
        is_there = Document.parent_id.is_(None) if wanted.parent == "none" else Document.parent_id == wanted.parent
        statement = statement.where(is_there)
    return await _fetch(session, SORTINGS[sort].page(statement, after, limit))


async def get_document(session: ReadSession, document_id: UUID) -> DocumentView | None:
    found = await _fetch(session, _views().where(Document.id == document_id))
    return found[0] if found else None


async def get_documents(session: ReadSession, document_ids: Sequence[UUID]) -> dict[UUID, DocumentView]:
    found = await _fetch(session, _views().where(Document.id.in_(document_ids)))
    return {view.document.id: view for view in found}


async def in_base(session: ReadSession, knowledge_base_id: UUID, document_ids: Sequence[UUID]) -> list[UUID]:
    """Those of them that are in this knowledge base."""
    statement = select(Document.id).where(
        Document.id.in_(document_ids), Document.knowledge_base_id == knowledge_base_id
    )
    return list(await session.scalars(statement))


async def find_by_content(session: ReadSession, knowledge_base_id: UUID, content_hash: str) -> DocumentView | None:
    found = await _fetch(
        session,
        _views().where(Document.knowledge_base_id == knowledge_base_id, Document.content_hash == content_hash),
    )
    return found[0] if found else None


async def count_by_status(session: ReadSession, knowledge_base_id: UUID) -> list[tuple[DocumentStatus, int, int, int]]:
    """Per status the documents, those of them that are found, and their bytes."""
    status = shown_status().label("shown")
    statement = (
        select(status, func.count(), func.count(Document.revision), func.sum(Document.size_bytes))
        .outerjoin(ExecutionRow, ExecutionRow.id == Document.execution_id)
        .where(Document.knowledge_base_id == knowledge_base_id)
        .group_by(status)
    )
    return [
        (DocumentStatus(status), count, found, int(size))
        for status, count, found, size in await session.execute(statement)
    ]


async def count_tags(session: ReadSession, knowledge_base_id: UUID) -> list[tuple[str, int]]:
    """The commonest first."""
    tags = (
        select(func.unnest(Document.tags).label("tag"))
        .where(Document.knowledge_base_id == knowledge_base_id)
        .subquery()
    )
    count = func.count()
    statement = select(tags.c.tag, count).group_by(tags.c.tag).order_by(count.desc(), tags.c.tag)
    return [(tag, number) for tag, number in await session.execute(statement.limit(_COMMONEST_TAGS))]


async def lock_document(session: WriteSession, document_id: UUID, keep: Keep = Keep.THERE) -> Document | None:
    if not await locks.hold_base_of(session, document_id, keep):
        return None
    found = await locks.lock_documents(session, [document_id])
    return found.get(document_id)


async def set_children(session: WriteSession, archive_id: UUID, values: dict[str, Any]) -> None:
    await locks.lock_children(session, [archive_id])
    await session.execute(update(Document).where(Document.parent_id == archive_id).values(values))


async def get_knowledge_base(session: ReadSession, knowledge_base_id: UUID) -> KnowledgeBase | None:
    return await session.get(KnowledgeBase, knowledge_base_id)


async def knowledge_base_exists(session: ReadSession, knowledge_base_id: UUID) -> bool:
    return await session.scalar(select(KnowledgeBase.id).where(KnowledgeBase.id == knowledge_base_id)) is not None


async def find_agents(session: ReadSession, agent_ids: Sequence[UUID]) -> set[UUID]:
    """Those of them that there are."""
    return set(await session.scalars(select(Agent.id).where(Agent.id.in_(agent_ids))))


async def delete_documents(session: WriteSession, document_ids: Sequence[UUID]) -> None:
    await session.execute(delete(Document).where(Document.id.in_(document_ids)))
