"""From a document's bytes to its text. Pure and unguarded: call it through `ingestion.extractor`, which bounds it."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from importlib import import_module
from typing import cast

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
    unsupported,
)
from services.knowledge_base.ingestion.extract.pictures import PICTURED, Picture, picture, pictures_in
from services.knowledge_base.ingestion.extract.sniff import is_ole, sniff
from services.knowledge_base.ingestion.extract.unlock import unlocked_office, unlocked_open_document

Reader = Callable[[Source, ContentLimits], Extracted]

# Imported when used, or by the process whose copies read one document each.
_READERS: Mapping[DocumentFormat, str] = {
    DocumentFormat.TEXT: "text:extract_text",
    DocumentFormat.MARKDOWN: "markdown:extract_markdown",
    DocumentFormat.HTML: "html.reader:extract_html",
    DocumentFormat.RTF: "rtf:extract_rtf",
    DocumentFormat.EPUB: "epub:extract_epub",
    DocumentFormat.EML: "mail.eml:extract_eml",
    DocumentFormat.MSG: "mail.msg:extract_msg",
    DocumentFormat.MBOX: "mail.mbox:extract_mbox",
    DocumentFormat.PDF: "pdf:extract_pdf",
    DocumentFormat.DOCX: "word.reader:extract_docx",
    DocumentFormat.PPTX: "slides:extract_pptx",
    DocumentFormat.SHEETS: "sheets:extract_sheets",
    DocumentFormat.CSV: "csv:extract_csv",
    DocumentFormat.ODT: "opendocument.text:extract_odt",
    DocumentFormat.ODP: "opendocument.slides:extract_odp",
    DocumentFormat.IMAGE: "image:extract_image",
}
_OPEN_DOCUMENT = frozenset({DocumentFormat.ODT, DocumentFormat.ODP, DocumentFormat.SHEETS})
# A mail within a mail within a mail is read; what is deeper is there to tire us out.
_DEEPEST = 3
# With so many characters for each picture, pictures only adorn a document.
_WORDY = 200
_MOST_PICTURES = 50
_depth: ContextVar[int] = ContextVar("depth", default=0)


def read(source: Source, limits: ContentLimits) -> Extracted:
    """The document's text with all that is known of it; raises `ExtractionError` when it has none.

    Pages that hold only images are named in the answer, also where there is nothing else. An archive is only
    recognised: what it holds are documents of their own.
    """
    source, found = _opened(source, limits)
    if found is DocumentFormat.ZIP:
        return Extracted(DocumentFormat.ZIP, "")
    extracted = reader_for(found)(source, limits)
    if not extracted.images_only:
        extracted = replace(extracted, images_only=_scans(source, extracted))
    if extracted.text.strip() or extracted.images_only:
        return extracted
    raise ExtractionError(ExtractionCode.NO_TEXT, "The document has no text in it.")


def _scans(source: Source, extracted: Extracted) -> tuple[int, ...]:
    """Numbers of an Office file's pictures, where they and not its words are what it is about."""
    if extracted.format not in PICTURED or len(extracted.text) > _WORDY * _MOST_PICTURES:
        return ()
    count = len(pictures_in(source, extracted.format))
    return tuple(range(1, count + 1)) if len(extracted.text.strip()) < _WORDY * count else ()


def read_picture(source: Source, limits: ContentLimits, page: int) -> Picture:
    """One of the pages that `read` said hold only images."""
    source, found = _opened(source, limits)
    return picture(source, found, page)


def read_part(source: Source, limits: ContentLimits) -> Extracted:
    """As `read`, of a document within a document; never empty. Raises `ExtractionError`, or whatever a reader does."""
    depth = _depth.get() + 1
    if depth > _DEEPEST:
        unsupported(f"Documents in documents are read to a depth of {_DEEPEST}.")
    token = _depth.set(depth)
    try:
        extracted = read(source, limits)
    finally:
        _depth.reset(token)
    if extracted.format is DocumentFormat.ZIP:
        unsupported("It is an archive: upload it by itself.")
    if not extracted.text.strip():
        raise ExtractionError(ExtractionCode.NO_TEXT, "It has no text in it, only images.")
    return extracted


def reader_for(found: DocumentFormat) -> Reader:
    if found not in _READERS:
        unsupported(f"Files of this kind ({found}) cannot be read.")
    module, name = _READERS[found].split(":")
    return cast(Reader, getattr(import_module(f"{__package__}.{module}"), name))


def import_readers() -> None:
    for found in _READERS:
        reader_for(found)
    # Else a second for every page of the web.
    import_module(f"{__package__}.html.main_content").prepare()


def _opened(source: Source, limits: ContentLimits) -> tuple[Source, DocumentFormat]:
    """What is to be read, its protection taken off where that is not for the reader to do."""
    if is_ole(source):
        source = unlocked_office(source)
    found = sniff(source)
    if found in _OPEN_DOCUMENT and not is_ole(source):
        source = unlocked_open_document(source, limits)
    source.file.seek(0)
    return source, found
