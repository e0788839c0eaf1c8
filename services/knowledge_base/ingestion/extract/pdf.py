"""PDF: text page by page, headings from the outline or by their type, what was typed into forms, remarks."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import one_line
from services.knowledge_base.ingestion.extract.dates import from_iso
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
    password_needed,
    password_wrong,
)
from services.knowledge_base.ingestion.extract.pdf_columns import text_by_columns
from services.knowledge_base.ingestion.extract.pdf_headings import HeadingFinder
from services.knowledge_base.ingestion.extract.pdfium import (
    Field,
    OutlineEntry,
    PasswordNeeded,
    PdfError,
    PdfFile,
    PdfPage,
)
from services.knowledge_base.ingestion.extract.titles import given_title

_MAX_WARNINGS = 20
_TITLE_LENGTH = 300
_DATE = re.compile(r"\s*(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+-])(\d\d)'?(\d\d)?'?|Z.*)?")
# Programs that scan write their name or a number on every page.
_FEW_LETTERS = 40
_WHOLE_PAGE = 0.8
# Letters without a meaning: fonts that do not say which sign a drawing stands for.
_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff]")


def extract_pdf(source: Source, limits: ContentLimits) -> Extracted:
    document = _open(source)
    if len(document) > limits.pages:
        raise ExtractionError(
            ExtractionCode.TOO_LARGE, f"The document has {len(document):,} pages, over {limits.pages:,}."
        )
    return _Reader(document, limits).read()


def _open(source: Source) -> PdfFile:
    try:
        return PdfFile(source.read(), source.password)
    except PasswordNeeded:
        if source.password:
            password_wrong()
        password_needed()
    except PdfError:
        damaged("The file is a PDF that is damaged or cut off.")


class _Reader:
    def __init__(self, document: PdfFile, limits: ContentLimits) -> None:
        self._document = document
        self._limits = limits
        self._builder = TextBuilder(limits)
        self._outline = list(islice(document.outline(), limits.headings))
        self._by_type = HeadingFinder()
        self._images_only: list[int] = []

    def read(self) -> Extracted:
        pages: list[int] = []
        unread: list[str] = []
        for number in range(len(self._document)):
            pages.append(self._builder.length)
            try:
                self._page(number)
            except PdfError:
                unread.append(f"Page {number + 1} could not be read.")
        if unread and len(unread) == len(pages):
            damaged("No page of the document could be read: the file is damaged.")
        text = self._builder.build()
        found = _from_outline(self._outline, text, pages) if self._outline else self._from_type(text, pages)
        return Extracted(
            DocumentFormat.PDF,
            text,
            tuple(pages),
            tuple(islice(found, self._limits.headings)),
            tuple(unread[:_MAX_WARNINGS]),
            title=given_title(self._document.metadata("Title")),
            dated_at=_date(self._document.metadata("CreationDate")) or _date(self._document.metadata("ModDate")),
            images_only=tuple(self._images_only),
        )

    def _page(self, number: int) -> None:
        with self._document.page(number) as page:
            text = clean(text_by_columns(page) or page.in_reading_order()).strip()
            if _is_image(page, text):
                self._images_only.append(number + 1)
                text = text if _readable(text) else ""
            elif not self._outline:
                self._by_type.add(number, page)
            filled = "\n".join(_written(page.fields()))
            remarks = "\n".join(f"Comment: {one_line(clean(remark))}" for remark in page.remarks())
        self._builder.add("".join(f"{part}\n\n" for part in (text, clean(filled), remarks) if part) or "\n\n")

    def _from_type(self, text: str, pages: list[int]) -> Iterator[Heading]:
        last = 0
        for level, line in self._by_type.found():
            title = one_line(clean(line.text))[:_TITLE_LENGTH]
            end = pages[line.page + 1] if line.page + 1 < len(pages) else len(text)
            start = _find_title(text, title, max(pages[line.page], last), end)
            if title and start is not None:
                last = start
                yield Heading(level, title, start)


def _is_image(page: PdfPage, text: str) -> bool:
    """Nothing to read on it but what an image shows."""
    if not text or not _readable(text):
        return page.has_images() or bool(text)
    return len(text) < _FEW_LETTERS and page.is_covered(_WHOLE_PAGE)


def _readable(text: str) -> bool:
    return len(_UNREADABLE.findall(text)) * 2 <= len(text)


def _written(fields: Iterable[Field]) -> Iterator[str]:
    """Boxes are told with or without their mark, what was typed or chosen with its name."""
    for field in fields:
        name = one_line(field.name)
        if field.checked is not None:
            yield f"[{'x' if field.checked else ' '}] {name}".rstrip()
        elif field.value.strip():
            yield f"{name}: {field.value}" if name else field.value


def _from_outline(outline: Iterable[OutlineEntry], text: str, pages: list[int]) -> Iterator[Heading]:
    """Entries in reading order; one that steps back (an index, a loop) or leads nowhere is left out."""
    last = 0
    for entry in outline:
        title = one_line(clean(entry.title))[:_TITLE_LENGTH]
        if not title or entry.page is None or not 0 <= entry.page < len(pages):
            continue
        page_end = pages[entry.page + 1] if entry.page + 1 < len(pages) else len(text)
        if page_end <= last:
            continue
        start = max(pages[entry.page], last)
        found = _find_title(text, title, start, page_end)
        last = start if found is None else found
        yield Heading(entry.level + 1, title, last)


def _find_title(text: str, title: str, start: int, end: int) -> int | None:
    """Where the title stands on its page, however its spaces and lines are broken."""
    pattern = r"\s*".join(re.escape(word) for word in title.split())
    match = re.compile(pattern, re.I).search(text, start, end)
    return match.start() if match else None


def _date(text: str) -> str | None:
    found = _DATE.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups()
    zone = f"{sign}{hours}:{minutes or '00'}" if sign and int(hours) < 24 and int(minutes or 0) < 60 else "Z"
    time = f"{hour or '00'}:{minute or '00'}:{second or '00'}"
    return from_iso(f"{year}-{month or '01'}-{day or '01'}T{time}{zone}")
