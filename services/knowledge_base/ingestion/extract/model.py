"""What extraction gives back: one text, and where its pages, headings, tables and parts stand in it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, NoReturn


class DocumentFormat(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    CSV = "csv"
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    SHEETS = "sheets"  # .xlsx, .xlsm, .xlsb, .xls, .ods
    ODT = "odt"
    ODP = "odp"
    RTF = "rtf"
    EPUB = "epub"
    EML = "eml"
    MSG = "msg"
    MBOX = "mbox"
    IMAGE = "image"  # read by OCR alone
    ZIP = "zip"  # unpacked into documents of its own, never read itself

    @property
    def media_type(self) -> str:
        """For `sheets` and `image` that of the commonest kind."""
        return _MEDIA_TYPES[self]


_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_MEDIA_TYPES = {
    DocumentFormat.TEXT: "text/plain",
    DocumentFormat.MARKDOWN: "text/markdown",
    DocumentFormat.CSV: "text/csv",
    DocumentFormat.HTML: "text/html",
    DocumentFormat.PDF: "application/pdf",
    DocumentFormat.DOCX: f"{_OFFICE}wordprocessingml.document",
    DocumentFormat.PPTX: f"{_OFFICE}presentationml.presentation",
    DocumentFormat.SHEETS: f"{_OFFICE}spreadsheetml.sheet",
    DocumentFormat.ODT: f"{_OPEN_DOCUMENT}text",
    DocumentFormat.ODP: f"{_OPEN_DOCUMENT}presentation",
    DocumentFormat.RTF: "application/rtf",
    DocumentFormat.EPUB: "application/epub+zip",
    DocumentFormat.EML: "message/rfc822",
    DocumentFormat.MSG: "application/vnd.ms-outlook",
    DocumentFormat.MBOX: "application/mbox",
    DocumentFormat.IMAGE: "image/png",
    DocumentFormat.ZIP: "application/zip",
}


class ExtractionCode(StrEnum):
    """Why a document gave no text. Part of the API: these are a failed document's error codes."""

    UNSUPPORTED = "document_type_unsupported"
    EMPTY = "document_empty"
    NO_TEXT = "document_without_text"
    OCR_MISSING = "ocr_not_installed"  # it has nothing but images, and nothing here reads those
    ENCRYPTED = "document_encrypted"  # it needs a password and none was given
    PASSWORD_WRONG = "document_password_wrong"
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
class Table:
    """One row a line, cells parted by `|` as in Markdown. `text[start:header_end]` is its head and the line of dashes
    below it; equal to `start` where the table has none."""

    start: int
    header_end: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """A document within the document, such as a mail's attachment: from `start` to the next part's. What stands
    before the first part is the document's own."""

    name: str
    start: int


@dataclass(frozen=True, slots=True)
class Extracted:
    """All offsets count characters of `text`. `pages[i]` is where page i + 1 begins (a slide is a page); empty without
    pages. `images_only` are the numbers, from 1, of pages that hold no text but images: for OCR."""

    format: DocumentFormat
    text: str
    pages: tuple[int, ...] = ()
    headings: tuple[Heading, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    parts: tuple[Part, ...] = ()
    title: str | None = None
    dated_at: str | None = None  # RFC 3339, when the document says when it was written or sent
    images_only: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A document to be read. `file` is seekable and stands at its begin; `name` never is a path.

    `password` opens it if it is protected. `web` says that it was fetched from the web: its main content is wanted,
    without what surrounds it.
    """

    file: BinaryIO
    name: str
    password: str | None = None
    web: bool = False

    def read(self) -> bytes:
        self.file.seek(0)
        return self.file.read()

    def head(self, size: int) -> bytes:
        self.file.seek(0)
        return self.file.read(size)


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """How much a reader may take in before it gives up with TOO_LARGE."""

    characters: int = 10_000_000
    pages: int = 10_000
    headings: int = 20_000
    tables: int = 20_000
    parts: int = 200
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


def password_needed() -> NoReturn:
    message = "The document is protected with a password: give it, and have the document processed again."
    raise ExtractionError(ExtractionCode.ENCRYPTED, message)


def password_wrong() -> NoReturn:
    raise ExtractionError(ExtractionCode.PASSWORD_WRONG, "The password does not open the document.")


def damaged(what: str) -> NoReturn:
    raise ExtractionError(ExtractionCode.DAMAGED, what)


def unsupported(what: str) -> NoReturn:
    raise ExtractionError(ExtractionCode.UNSUPPORTED, what)
