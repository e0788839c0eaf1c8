"""What a reader's process answers. A document may have taken it over, so this is read like any other input."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Heading,
    Part,
    Table,
)

_TITLE = 1000
_WARNINGS = 100
_WARNING = 500
# In documents without pages, these are the numbers of pictures.
_PICTURES = 50

_Offset = Annotated[int, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]


class _Failure(BaseModel):
    code: ExtractionCode
    message: str = Field(max_length=_WARNING)


class _Document(BaseModel):
    format: DocumentFormat
    text: str
    pages: list[_Offset] = []
    headings: list[tuple[_Offset, str, _Offset]] = []
    warnings: list[str] = []
    tables: list[tuple[_Offset, _Offset, _Offset]] = []
    parts: list[tuple[str, _Offset]] = []
    title: str | None = None
    dated_at: str | None = None
    images_only: list[_Count] = []


class _Answer(BaseModel):
    document: _Document | None = None
    error: _Failure | None = None


def understood(answer: bytes, limits: ContentLimits) -> Extracted:
    """Raises the `ExtractionError` it tells of, or one when it cannot be right."""
    try:
        found = _Answer.model_validate_json(answer)
    except ValidationError:
        raise _unreadable() from None
    if found.error:
        raise ExtractionError(found.error.code, found.error.message)
    document = found.document
    if document is None or not _consistent(document) or not _within(document, limits):
        raise _unreadable()
    return Extracted(
        document.format,
        document.text,
        tuple(document.pages),
        tuple(Heading(level, title[:_TITLE], start) for level, title, start in document.headings),
        tuple(warning[:_WARNING] for warning in document.warnings[:_WARNINGS]),
        tuple(Table(*table) for table in document.tables),
        tuple(Part(name[:_TITLE], start) for name, start in document.parts),
        (document.title or "").strip()[:_TITLE] or None,
        _date(document.dated_at),
        tuple(document.images_only),
    )


class Pictured(BaseModel):
    """`size` is that of the image which follows; none follows when it is page `page` of the document itself."""

    page: int = Field(ge=0, le=100_000)
    size: int | None = Field(ge=0)


def pictured(answer: bytes) -> Pictured:
    try:
        return Pictured.model_validate_json(answer)
    except ValidationError:
        raise failure(answer) from None


def failure(answer: bytes) -> ExtractionError:
    """Of an answer that can only be one."""
    try:
        found = _Answer.model_validate_json(answer).error
    except ValidationError:
        found = None
    return ExtractionError(found.code, found.message) if found else _unreadable()


def _unreadable() -> ExtractionError:
    return ExtractionError(ExtractionCode.DAMAGED, "The document could not be read: it is damaged.")


def _within(document: _Document, limits: ContentLimits) -> bool:
    return (
        len(document.text) <= limits.characters
        and len(document.pages) <= limits.pages
        and len(document.headings) <= limits.headings
        and len(document.tables) <= limits.tables
        and len(document.parts) <= limits.parts
        and len(document.images_only) <= limits.pages
    )


def _consistent(document: _Document) -> bool:
    """Offsets rise and lie in the text; tables do not overlap; nothing holds what Postgres refuses."""
    end = len(document.text)
    words = [document.text, document.title or "", *document.warnings]
    words += [title for _, title, _ in document.headings] + [name for name, _ in document.parts]
    rising = (
        document.pages,
        [start for _, _, start in document.headings],
        [offset for table in document.tables for offset in table],
        [start for _, start in document.parts],
    )
    return (
        not any("\0" in word for word in words)
        and all(_rises(offsets) and (not offsets or offsets[-1] <= end) for offsets in rising)
        and all(one < other for one, other in pairwise(document.images_only))
        and (not document.images_only or document.images_only[-1] <= max(len(document.pages), _PICTURES))
    )


def _rises(offsets: list[int]) -> bool:
    return all(one <= other for one, other in pairwise(offsets))


def _date(text: str | None) -> str | None:
    """Without a zone it is taken for UTC: a date is for finding the document, not for a train."""
    try:
        date = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).isoformat()
