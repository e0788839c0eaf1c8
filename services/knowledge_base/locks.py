"""The order in which rows are locked, whoever locks, so that nobody waits for one who waits for him:

1. the knowledge base
2. its documents: those that came by themselves, then those out of archives, each by their ids
3. an index, and what hangs on all these: chunks, vectors, words

Whoever locks more than one document, or deletes anything of one, begins with the knowledge base.
"""

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Select, select

from shared.database.session import WriteSession
from shared.database.tables.knowledge import Document, KnowledgeBase


class Keep(StrEnum):
    """What the knowledge base is kept from until the transaction ends."""

    THERE = "there"  # from being deleted
    # Besides, from getting another index, which deletes vectors of all documents: for who deletes chunks with theirs.
    INDEX = "index"
    # From all of that by somebody else, and from documents that are published: for who deletes an index.
    TO_MYSELF = "to_myself"


async def hold_base(session: WriteSession, knowledge_base_id: UUID, keep: Keep = Keep.THERE) -> bool:
    """False if it is not there."""
    statement = select(KnowledgeBase.id).where(KnowledgeBase.id == knowledge_base_id)
    locked = statement.with_for_update(read=keep is not Keep.TO_MYSELF, key_share=keep is not Keep.INDEX)
    return await session.scalar(locked) is not None


async def hold_base_of(session: WriteSession, document_id: UUID, keep: Keep = Keep.THERE) -> bool:
    """The one that a document is in."""
    statement = select(Document.knowledge_base_id).where(Document.id == document_id)
    base = await session.scalar(statement)
    return base is not None and await hold_base(session, base, keep)


async def lock_documents(session: WriteSession, document_ids: Collection[UUID]) -> dict[UUID, Document]:
    """Those that are there. Their knowledge base is held."""
    return await _lock(session, select(Document).where(Document.id.in_(document_ids)))


async def lock_children(session: WriteSession, archive_ids: Collection[UUID]) -> list[Document]:
    """What these archives hold, which are locked."""
    return list((await _lock(session, select(Document).where(Document.parent_id.in_(archive_ids)))).values())


async def lock_with_children(session: WriteSession, document_ids: Collection[UUID]) -> dict[UUID, Document]:
    """All these, and what archives among them hold: no archive gets another child while it is locked."""
    named = Document.id.in_(document_ids)
    found = await _lock(session, select(Document).where(named, Document.parent_id.is_(None)))
    inside = Document.parent_id.is_not(None) & (named | Document.parent_id.in_(found))
    return found | await _lock(session, select(Document).where(inside))


async def hold_documents(session: WriteSession, document_ids: Collection[UUID]) -> None:
    """Keeps them from being changed or deleted, not from being looked at like this by others."""
    statement = select(Document.id).where(Document.id.in_(document_ids)).order_by(*_ORDER)
    await session.execute(statement.with_for_update(read=True, key_share=True))


_ORDER = (Document.parent_id.is_not(None), Document.id)


async def _lock(session: WriteSession, statement: Select[Document]) -> dict[UUID, Document]:
    locked = statement.order_by(*_ORDER).with_for_update().execution_options(populate_existing=True)
    return {document.id: document for document in await session.scalars(locked)}
