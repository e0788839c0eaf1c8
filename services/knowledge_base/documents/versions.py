"""A document's contents, one after another: the newest is what is processed, those before it can be looked at."""

from dataclasses import dataclass
from typing import IO, Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from services.knowledge_base import originals
from services.knowledge_base.documents.errors import DocumentDuplicate
from services.knowledge_base.limits import service as limits
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.knowledge import Document, DocumentText, DocumentVersion
from shared.kit.ids import new_id
from shared.kit.settings import Settings

UNKNOWN = "application/octet-stream"  # until it is read
KEPT = 10
_SAME_CONTENT = "uq_documents_knowledge_base_id_content_hash"


@dataclass(frozen=True, slots=True)
class Content:
    """A file as it came. `name` never is a path; `media_type` is `UNKNOWN` if the file's begin does not show it."""

    name: str
    media_type: str
    size_bytes: int
    content_hash: str
    file: IO[bytes]

    def as_columns(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "media_type": self.media_type,
            "size_bytes": self.size_bytes,
            "content_hash": self.content_hash,
        }


async def insert_document(
    session: WriteSession, settings: Settings, values: dict[str, Any], content: Content
) -> Document | None:
    """A document with its first version. None if the knowledge base holds this content, or this document, already,
    also when that was stored a moment ago. `limits.settle` is to follow. Raises `KnowledgeLimitReached`."""
    row = {"name": content.name, **content.as_columns(), **values, "version": 1}
    statement = insert(Document).values(row).on_conflict_do_nothing().returning(Document.id)
    if await session.scalar(statement) is None:
        return None
    document = await session.get_one(Document, values["id"])
    await limits.check_room(session, settings, document.tenant_id, more_bytes=content.size_bytes, adds_documents=True)
    await _write(session, document, content, document.created_by)
    return document


async def store_version(
    session: WriteSession, settings: Settings, document: Document, content: Content, *, created_by: UUID | None
) -> int | None:
    """The number of the document's new version; None if it has this content already. `document` is locked.

    The document is not processed by this: `processing.begin` does that, or the ingestion that stored it. To be called
    late in a transaction, see `limits.settle`. Raises `DocumentDuplicate` if another document has this content,
    `KnowledgeLimitReached`; the transaction can go on after the first of them alone.
    """
    if document.version > 0 and document.content_hash == content.content_hash:
        return None
    await limits.check_room(session, settings, document.tenant_id, more_bytes=content.size_bytes, adds_documents=False)
    before = await get_version(session, document.id, document.version)
    if before is not None and before.media_type == UNKNOWN:
        before.media_type = document.media_type
    await _take_over(session, document, content, named_after=None if before is None else before.name)
    await _write(session, document, content, created_by)
    await _forget_old(session, document)
    await limits.settle(session, settings, document.tenant_id, adds_documents=False)
    return document.version


async def get_version(session: ReadSession, document_id: UUID, number: int) -> DocumentVersion | None:
    statement = select(DocumentVersion).where(
        DocumentVersion.document_id == document_id, DocumentVersion.number == number
    )
    return await session.scalar(statement)


async def list_versions(session: ReadSession, document_id: UUID) -> list[DocumentVersion]:
    """Newest first."""
    statement = select(DocumentVersion).where(DocumentVersion.document_id == document_id)
    return list(await session.scalars(statement.order_by(DocumentVersion.number.desc())))


async def searchable_version(session: ReadSession, document_id: UUID) -> int | None:
    """The version that is found at present."""
    statement = (
        select(DocumentText.version)
        .join(Document, Document.id == DocumentText.document_id)
        .where(DocumentText.document_id == document_id, DocumentText.revision == Document.revision)
    )
    return await session.scalar(statement)


async def _take_over(session: WriteSession, document: Document, content: Content, named_after: str | None) -> None:
    """A document that somebody has given a name of its own keeps it."""
    columns = content.as_columns()
    if named_after is not None and document.name != named_after:
        del columns["name"]
    try:
        async with session.begin_nested():
            for column, value in columns.items():
                setattr(document, column, value)
            document.version += 1
    except IntegrityError as error:
        if is_unique_violation(error, _SAME_CONTENT):
            raise DocumentDuplicate from None
        raise


async def _write(session: WriteSession, document: Document, content: Content, created_by: UUID | None) -> None:
    version = DocumentVersion(
        id=new_id(),
        tenant_id=document.tenant_id,
        document_id=document.id,
        number=document.version,
        created_by=created_by,
        **content.as_columns(),
    )
    session.add(version)
    await session.flush()
    await originals.write(session, document.tenant_id, version.id, content.file)


async def _forget_old(session: WriteSession, document: Document) -> None:
    """What is found at present is kept however old it is."""
    found = await searchable_version(session, document.id)
    await session.execute(
        delete(DocumentVersion).where(
            DocumentVersion.document_id == document.id,
            DocumentVersion.number <= document.version - KEPT,
            DocumentVersion.number != (found or 0),
        )
    )
