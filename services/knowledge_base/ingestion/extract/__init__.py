"""From a document's bytes to its text. Pure and unguarded: call it through `ingestion.extractor`, which bounds it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
)
from services.knowledge_base.ingestion.extract.sniff import sniff

Reader = Callable[[Source, ContentLimits], Extracted]

# Imported when used: a child process pays only for the reader its one document needs.
_READERS: Mapping[DocumentFormat, str] = {
    DocumentFormat.TEXT: "text:extract_text",
    DocumentFormat.MARKDOWN: "markdown:extract_markdown",
    DocumentFormat.PDF: "pdf:extract_pdf",
    DocumentFormat.DOCX: "word.reader:extract_docx",
}


def reader_for(source: Source) -> Reader:
    """The reader for this content, its libraries imported; raises `ExtractionError` when there is none."""
    module, name = _READERS[sniff(source.read(), source.name)].split(":")
    return cast(Reader, getattr(import_module(f"{__package__}.{module}"), name))


def read(reader: Reader, source: Source, limits: ContentLimits) -> Extracted:
    """The document's text with its pages and headings; raises `ExtractionError` when there is none."""
    extracted = reader(source, limits)
    if extracted.text.strip():
        return extracted
    if extracted.format is DocumentFormat.PDF:
        raise ExtractionError(
            ExtractionCode.NO_TEXT, "The document has no text in it, only images: it may be a scan, which is not read."
        )
    raise ExtractionError(ExtractionCode.NO_TEXT, "The document has no text in it.")
