from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from services.knowledge_base.documents.schemas import DocumentStatus
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Document, DocumentContent, KnowledgeBase
from shared.database.tables.ledger import ExecutionRow
from shared.kit.json import JsonObject

_OPEN = (DocumentStatus.PENDING.value, DocumentStatus.PROCESSING.value)
_LOST = ("failed", "cancelled")


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document as its execution lets it appear: one whose execution ended without it is failed."""

    document: Document
    status: DocumentStatus
    execution_status: str | None
    execution_error: JsonObject | None


def _status() -> ColumnElement[str]:
    lost = and_(Document.status.in_(_OPEN), ExecutionRow.status.in_(_LOST))
    return case((lost, DocumentStatus.FAILED.value), else_=Document.status)


_Views = Select[Document, str, str | None, JsonObject | None]


def _views() -> _Views:
    statement = select(Document, _status(), ExecutionRow.status, ExecutionRow.error)
    return cast(_Views, statement.outerjoin(ExecutionRow, ExecutionRow.id == Document.execution_id))


async def _fetch(session: ReadSession, statement: _Views) -> list[DocumentView]:
    return [
        DocumentView(document, DocumentStatus(status), execution, error)
        for document, status, execution, error in await session.execute(statement)
    ]


async def list_documents(
    session: ReadSession,
    knowledge_base_id: UUID,
    *,
    status: DocumentStatus | None,
    name: str | None,
    before: UUID | None,
    limit: int,
) -> list[DocumentView]:
    statement = _views().where(Document.knowledge_base_id == knowledge_base_id)
    if status is not None:
        statement = statement.where(_status() == status.value)
    if name:
        statement = statement.where(Document.name.icontains(name, autoescape=True))
    if before is not None:
        statement = statement.where(Document.id < before)
    return await _fetch(session, statement.order_by(Document.id.desc()).limit(limit))


async def get_document(session: ReadSession, document_id: UUID) -> DocumentView | None:
    found = await _fetch(session, _views().where(Document.id == document_id))
    return found[0] if found else None


async def find_by_content(session: ReadSession, knowledge_base_id: UUID, content_hash: str) -> DocumentView | None:
    found = await _fetch(
        session,
        _views().where(Document.knowledge_base_id == knowledge_base_id, Document.content_hash == content_hash),
    )
    return found[0] if found else None


async def lock_document(session: WriteSession, document_id: UUID) -> Document | None:
    return await session.scalar(select(Document).where(Document.id == document_id).with_for_update())


async def hold_knowledge_base(session: WriteSession, knowledge_base_id: UUID) -> bool:
    """Keeps the knowledge base from being deleted until this transaction ends; False if it is not there."""
    statement = select(KnowledgeBase.id).where(KnowledgeBase.id == knowledge_base_id)
    return await session.scalar(statement.with_for_update(read=True, key_share=True)) is not None


async def knowledge_base_exists(session: ReadSession, knowledge_base_id: UUID) -> bool:
    return await session.scalar(select(KnowledgeBase.id).where(KnowledgeBase.id == knowledge_base_id)) is not None


async def insert_document(session: WriteSession, values: dict[str, Any], original: bytes) -> bool:
    """False if the knowledge base holds this content already, also when that was stored a moment ago."""
    done = await session.execute(
        insert(Document)
        .values(values)
        .on_conflict_do_nothing(index_elements=["knowledge_base_id", "content_hash"])
        .returning(Document.id)
    )
    if done.scalar_one_or_none() is None:
        return False
    await session.execute(
        insert(DocumentContent).values(tenant_id=values["tenant_id"], document_id=values["id"], original=original)
    )
    return True


async def set_execution(session: WriteSession, document_id: UUID, execution_id: UUID) -> None:
    await session.execute(update(Document).where(Document.id == document_id).values(execution_id=execution_id))


async def delete_document(session: WriteSession, document_id: UUID) -> None:
    await session.execute(delete(Document).where(Document.id == document_id))
