"""From a document's bytes to its text. Pure and unguarded: call it through `ingestion.extractor`, which bounds it."""

from collections.abc import Callable, Mapping

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
)
from services.knowledge_base.ingestion.extract.sniff import sniff

Reader = Callable[[bytes, ContentLimits], Extracted]


def reader_for(data: bytes, name: str) -> Reader:
    """The reader for this content, its libraries imported; raises `ExtractionError` when there is none."""
    return _READERS[sniff(data, name)]()


def read(reader: Reader, data: bytes, limits: ContentLimits) -> Extracted:
    """The document's text with its pages and headings; raises `ExtractionError` when there is none."""
    extracted = reader(data, limits)
    if extracted.text.strip():
        return extracted
    if extracted.format is DocumentFormat.PDF:
        raise ExtractionError(
            ExtractionCode.NO_TEXT, "The document has no text in it, only images: it may be a scan, which is not read."
        )
    raise ExtractionError(ExtractionCode.NO_TEXT, "The document has no text in it.")


def _text() -> Reader:
    from services.knowledge_base.ingestion.extract.text import extract_text  # noqa: PLC0415

    return extract_text


def _markdown() -> Reader:
    from services.knowledge_base.ingestion.extract.markdown import extract_markdown  # noqa: PLC0415

    return extract_markdown


def _pdf() -> Reader:
    from services.knowledge_base.ingestion.extract.pdf import extract_pdf  # noqa: PLC0415

    return extract_pdf


def _docx() -> Reader:
    from services.knowledge_base.ingestion.extract.word.reader import extract_docx  # noqa: PLC0415

    return extract_docx


# Imported when used: a child process pays only for the reader its one document needs.
_READERS: Mapping[DocumentFormat, Callable[[], Reader]] = {
    DocumentFormat.TEXT: _text,
    DocumentFormat.MARKDOWN: _markdown,
    DocumentFormat.PDF: _pdf,
    DocumentFormat.DOCX: _docx,
}
