"""The document of an ingestion. Every write takes its row first and changes nothing if it is gone, or if another
execution has taken the document over."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from services.knowledge_base import locks
from services.knowledge_base.ingestion.extract.model import DocumentFormat
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.locks import Keep
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.ingestion import DocumentRecognition
from shared.database.tables.knowledge import Document, DocumentVersion
from shared.kit.json import JsonObject

_UNKNOWN = "application/octet-stream"
_OF_MANY_KINDS = (DocumentFormat.IMAGE, DocumentFormat.SHEETS)


@dataclass(frozen=True, slots=True)
class Original:
    """What is to be read, and how."""

    version_id: UUID
    name: str
    media_type: str
    is_page: bool
    settings: JsonObject
    password: bytes | None


# A page of a version, as it is read for these languages.
PageKey = tuple[UUID, str, int]


async def hold(session: WriteSession, owner: Owner, keep: Keep = Keep.THERE) -> bool:
    """Locks the document until the transaction ends; False if this ingestion has no business with it any more."""
    if not await locks.hold_base(session, owner.knowledge_base_id, keep):
        return False
    statement = select(Document.id).where(Document.id == owner.document_id, Document.execution_id == owner.execution_id)
    return await session.scalar(statement.with_for_update()) is not None


async def set_document(session: WriteSession, owner: Owner, **values: Any) -> None:
    await session.execute(update(Document).where(Document.id == owner.document_id).values(**values))


async def set_media_type(session: WriteSession, owner: Owner, found: DocumentFormat) -> None:
    """What it turned out to be. Where a format has many kinds, the upload may have seen more exactly which."""
    statement = update(Document).where(Document.id == owner.document_id, Document.version == owner.version)
    if found in _OF_MANY_KINDS:
        statement = statement.where(Document.media_type == _UNKNOWN)
    await session.execute(statement.values(media_type=found.media_type))


async def get_source(session: ReadSession, owner: Owner) -> str | None:
    return await session.scalar(select(Document.source).where(Document.id == owner.document_id))


async def get_original(session: ReadSession, owner: Owner) -> Original | None:
    statement = (
        select(
            DocumentVersion.id,
            DocumentVersion.name,
            DocumentVersion.media_type,
            Document.source,
            Document.settings,
            Document.password,
        )
        .join(Document, Document.id == DocumentVersion.document_id)
        .where(DocumentVersion.document_id == owner.document_id, DocumentVersion.number == owner.version)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    return Original(row.id, row.name, row.media_type, row.source == "url", row.settings or {}, row.password)


async def get_recognized(session: ReadSession, version_id: UUID, languages: str) -> dict[int, str]:
    """What was read of its images before, by page."""
    statement = select(DocumentRecognition.page, DocumentRecognition.text).where(
        DocumentRecognition.version_id == version_id, DocumentRecognition.languages == languages
    )
    return {row.page: row.text for row in await session.execute(statement)}


async def put_recognized(session: WriteSession, owner: Owner, key: PageKey, text: str) -> None:
    version_id, languages, page = key
    values = {"version_id": version_id, "languages": languages, "page": page, "text": text}
    statement = insert(DocumentRecognition).values(tenant_id=owner.tenant_id, **values)
    await session.execute(statement.on_conflict_do_nothing())
