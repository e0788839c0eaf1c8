"""What a document holds: its files as they came, the text that was read out of them, the chunks that are found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from services.knowledge_base.documents import versions
from services.knowledge_base.documents.errors import DocumentNotFound, DocumentNotRead, VersionNotFound
from services.knowledge_base.documents.schemas import (
    ChunkOut,
    DocumentTextOut,
    HeadingMark,
    PageMark,
    PartMark,
    VersionOut,
)
from services.knowledge_base.documents.versions import UNKNOWN
from services.knowledge_base.ingestion.extract.model import DocumentFormat
from shared.database.session import ReadSession
from shared.database.tables.knowledge import Chunk, Document, DocumentText
from shared.web.pagination import Page, decode_cursor, page

WINDOW = 100_000
_DEFAULT_WINDOW = 10_000
# What a browser is told a file is: nothing that anyone but this code has named.
_MEDIA_TYPES = frozenset(one.media_type for one in DocumentFormat)


@dataclass(frozen=True, slots=True)
class Original:
    version_id: UUID
    name: str
    media_type: str
    size_bytes: int
    content_hash: str


async def list_versions(session: ReadSession, document_id: UUID) -> Page[VersionOut]:
    """All on one page: few are kept."""
    document = await _require(session, document_id)
    found = await versions.searchable_version(session, document_id)
    items = [
        VersionOut(
            number=version.number,
            name=version.name,
            media_type=_media_type(document, version.number, version.media_type),
            size_bytes=version.size_bytes,
            content_hash=version.content_hash,
            searchable=version.number == found,
            created_at=version.created_at,
            created_by=version.created_by,
        )
        for version in await versions.list_versions(session, document_id)
    ]
    return Page(items=items, next_cursor=None)


async def find_original(session: ReadSession, document_id: UUID, number: int | None) -> Original:
    """The newest version, if no number is given."""
    document = await _require(session, document_id)
    wanted = document.version if number is None else number
    version = await versions.get_version(session, document_id, wanted)
    if version is None:
        raise VersionNotFound
    media_type = _media_type(document, version.number, version.media_type)
    known = media_type if media_type in _MEDIA_TYPES else UNKNOWN
    return Original(version.id, version.name, known, version.size_bytes, version.content_hash)


async def read_text(session: ReadSession, document_id: UUID, start: int, end: int | None) -> DocumentTextOut:
    document = await _require(session, document_id)
    last = start + (_DEFAULT_WINDOW if end is None else min(max(end - start, 0), WINDOW))
    statement = select(
        DocumentText.version,
        DocumentText.structure,
        func.char_length(DocumentText.text),
        func.substring(DocumentText.text, start + 1, last - start),
    ).where(DocumentText.document_id == document_id, DocumentText.revision == document.revision)
    row = (await session.execute(statement)).one_or_none()
    if row is None or document.revision is None:
        raise DocumentNotRead
    version, structure, length, text = row
    end = start + len(text)
    return DocumentTextOut(
        document_id=document_id,
        name=document.name,
        version=version,
        revision=document.revision,
        length=length,
        start=start,
        end=end,
        text=text,
        pages=_pages(structure.get("pages", ()), start, end),
        headings=_headings(structure.get("headings", ()), start, end),
        parts=_parts(structure.get("parts", ()), start, end),
    )


async def list_chunks(session: ReadSession, document_id: UUID, limit: int, cursor: str | None) -> Page[ChunkOut]:
    """Of the processing that is found."""
    document = await _require(session, document_id)
    statement = select(Chunk).where(Chunk.document_id == document_id, Chunk.revision == document.revision)
    if cursor:
        # Chunks of another processing count differently.
        revision, ordinal = decode_cursor(cursor, int, int)
        statement = statement.where(Chunk.ordinal > ordinal if revision == document.revision else Chunk.ordinal >= 0)
    rows = list(await session.scalars(statement.order_by(Chunk.ordinal).limit(limit + 1)))
    return page(rows, limit, ChunkOut.model_validate, lambda chunk: (chunk.revision, chunk.ordinal))


async def _require(session: ReadSession, document_id: UUID) -> Document:
    document = await session.get(Document, document_id)
    if document is None:
        raise DocumentNotFound
    return document


def _media_type(document: Document, number: int, media_type: str) -> str:
    """Of the newest version the document may know more, once it was read."""
    return document.media_type if number == document.version and media_type == UNKNOWN else media_type


def _touched(starts: Sequence[int], start: int, end: int) -> range:
    """Of what begins at these offsets, each until the next: where those are that stand between `start` and `end`."""
    at_start = sum(one <= start for one in starts)
    before_end = sum(one < end for one in starts)
    return range(max(at_start - 1, 0), max(before_end, at_start))


def _pages(starts: Sequence[int], start: int, end: int) -> list[PageMark]:
    return [PageMark(number=index + 1, start=starts[index]) for index in _touched(starts, start, end)]


def _headings(headings: Sequence[Any], start: int, end: int) -> list[HeadingMark]:
    """Those above `start`, one of each level and the outermost first, and those within."""
    above: list[HeadingMark] = []
    within: list[HeadingMark] = []
    for level, title, place in headings:
        mark = HeadingMark(level=level, title=title, start=place)
        if place <= start:
            above = [*(one for one in above if one.level < level), mark]
        elif place < end:
            within.append(mark)
    return above + within


def _parts(parts: Sequence[Any], start: int, end: int) -> list[PartMark]:
    marks = [PartMark.model_validate(part) for part in parts]
    touched = _touched([mark.start for mark in marks], start, end)
    return [marks[index] for index in touched if marks[index].start < end]
