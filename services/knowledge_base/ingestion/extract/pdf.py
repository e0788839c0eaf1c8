"""PDF: text page by page, headings from the outline."""

import re
from collections.abc import Iterator
from itertools import islice

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Heading,
    Source,
    TextBuilder,
    damaged,
)
from services.knowledge_base.ingestion.extract.pdfium import PasswordNeeded, PdfError, PdfFile

_MAX_WARNINGS = 20
_TITLE_LENGTH = 300
_SPACES = re.compile(r"\s+")


def extract_pdf(source: Source, limits: ContentLimits) -> Extracted:
    document = _open(source.read())
    count = len(document)
    if count > limits.pages:
        raise ExtractionError(ExtractionCode.TOO_LARGE, f"The document has {count:,} pages, over {limits.pages:,}.")
    builder = TextBuilder(limits)
    pages: list[int] = []
    warnings: list[str] = []
    for number in range(count):
        pages.append(builder.length)
        try:
            builder.add(clean(document.page_text(number)).strip() + "\n\n")
        except PdfError:
            warnings.append(f"Page {number + 1} could not be read.")
    if warnings and len(warnings) == count:
        damaged("No page of the document could be read: the file is damaged.")
    text = builder.build()
    headings = tuple(islice(_headings(document, text, pages), limits.headings))
    return Extracted(DocumentFormat.PDF, text, tuple(pages), headings, tuple(warnings[:_MAX_WARNINGS]))


def _open(data: bytes) -> PdfFile:
    try:
        return PdfFile(data)
    except PasswordNeeded:
        raise ExtractionError(
            ExtractionCode.ENCRYPTED, "The document is protected with a password. Remove it and upload again."
        ) from None
    except PdfError:
        damaged("The file is a PDF that is damaged or cut off.")


def _headings(document: PdfFile, text: str, pages: list[int]) -> Iterator[Heading]:
    """Outline entries in reading order; one that steps back (an index, a loop) or leads nowhere is left out."""
    last = 0
    for entry in document.outline():
        title = _SPACES.sub(" ", clean(entry.title)).strip()[:_TITLE_LENGTH]
        if not title or entry.page is None or not 0 <= entry.page < len(pages):
            continue
        page_end = pages[entry.page + 1] if entry.page + 1 < len(pages) else len(text)
        if page_end <= last:
            continue
        last = _find_title(text, title, max(pages[entry.page], last), page_end)
        yield Heading(entry.level + 1, title, last)


def _find_title(text: str, title: str, start: int, end: int) -> int:
    """Where the title stands on its page, however its spaces and lines are broken; else at the start."""
    pattern = r"\s*".join(re.escape(word) for word in title.split())
    match = re.compile(pattern, re.I).search(text, start, end)
    return match.start() if match else start
