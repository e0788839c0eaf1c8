"""What extraction gives back: one text, and where its pages and headings begin in it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn


class DocumentFormat(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    PDF = "pdf"
    DOCX = "docx"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    DocumentFormat.TEXT: "text/plain",
    DocumentFormat.MARKDOWN: "text/markdown",
    DocumentFormat.PDF: "application/pdf",
    DocumentFormat.DOCX: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


class ExtractionCode(StrEnum):
    """Why a document gave no text. Part of the API: these are a failed document's error codes."""

    UNSUPPORTED = "document_type_unsupported"
    EMPTY = "document_empty"
    NO_TEXT = "document_without_text"
    ENCRYPTED = "document_encrypted"
    DAMAGED = "document_damaged"
    TOO_LARGE = "document_too_large"
    TOO_SLOW = "document_too_slow"
    TOO_HEAVY = "document_too_heavy"


class ExtractionError(Exception):
    """The document cannot be read. `message` is written for the person who uploaded it."""

    def __init__(self, code: ExtractionCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    title: str
    start: int


@dataclass(frozen=True, slots=True)
class Extracted:
    """All offsets count characters of `text`. `pages[i]` is where page i + 1 begins; empty without pages."""

    format: DocumentFormat
    text: str
    pages: tuple[int, ...] = ()
    headings: tuple[Heading, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """How much a reader may take in before it gives up with TOO_LARGE."""

    characters: int = 10_000_000
    pages: int = 10_000
    headings: int = 20_000
    unpacked_bytes: int = 200_000_000


@dataclass(slots=True)
class TextBuilder:
    """Puts an extracted text together piece by piece and knows the offset of each."""

    limits: ContentLimits
    length: int = 0
    _parts: list[str] = field(default_factory=list[str])

    def add(self, text: str) -> int:
        """Append; returns the offset at which `text` begins."""
        start = self.length
        self.length += len(text)
        if self.length > self.limits.characters:
            raise ExtractionError(
                ExtractionCode.TOO_LARGE,
                f"The document holds more than {self.limits.characters:,} characters of text.",
            )
        self._parts.append(text)
        return start

    def build(self) -> str:
        return "".join(self._parts)


def damaged(what: str) -> NoReturn:
    raise ExtractionError(ExtractionCode.DAMAGED, what)
