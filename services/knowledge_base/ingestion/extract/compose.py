"""Puts an extracted text together block by block and keeps where its pages, headings and tables stand."""

import re
from collections.abc import Sequence

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    Heading,
    Table,
    TextBuilder,
)

_TITLE_LENGTH = 300
_DASHES = "---"
_NUMBER = re.compile(r"[-+(]?[^\w\s]{0,3}\d[\d\s.,:/%-]*[^\w\s]{0,3}\)?$")
_NEAR = 50
# Rows are filled up to the longest unless that makes much of nothing.
_MOST_CELLS = 5_000_000
_YEAR = re.compile(r"(?:19|20)\d\d$")

Row = Sequence[str]


class Composer:
    def __init__(self, limits: ContentLimits) -> None:
        self._limits = limits
        self._builder = TextBuilder(limits)
        self._gap = ""
        self._in_list = False
        self._headings: list[Heading] = []
        self._tables: list[Table] = []
        self._pages: list[int] = []
        self._section: tuple[int, str] | None = None
        self.warnings: list[str] = []

    @property
    def length(self) -> int:
        return self._builder.length

    def page(self) -> None:
        """What comes next stands on a new page."""
        if self._builder.length:
            self._builder.add(self._gap)
        self._gap = ""
        self._mark_page()

    def carry_on(self, text: str) -> None:
        """The last block goes on, on a new page."""
        self._mark_page()
        self._builder.add(clean(text))

    @property
    def title(self) -> str | None:
        """What is written as the title of the whole."""
        return next((heading.title for heading in self._headings if heading.level == 0), None)

    def block(self, text: str, *, item: bool = False) -> int | None:
        """A paragraph; items of a list stand right below each other. The offset, or None if there is nothing in it."""
        text = clean(text).strip("\n")
        return self._add(text, item) if text.strip() else None

    def heading(self, level: int, title: str) -> None:
        self.mark(level, title, self.block(one_line(title)))

    def section(self, level: int, title: str) -> None:
        """A heading that is left out if nothing follows it."""
        self._section = level, title

    def mark(self, level: int, title: str, start: int | None) -> None:
        """A heading whose text stands there already."""
        title = one_line(clean(title))[:_TITLE_LENGTH]
        if start is not None and title and len(self._headings) < self._limits.headings:
            self._headings.append(Heading(level, title, start))

    def table(self, rows: Sequence[Row], *, head: bool) -> None:
        """`rows` are cells of one line each, see `one_line`; the first is the table's head if it has one."""
        if not rows:
            return
        width = max(len(row) for row in rows)
        width = width if width * len(rows) <= _MOST_CELLS else len(rows[0])
        top = clean(_head_lines(rows[0], width)) if head else ""
        body = clean("\n".join(_line(row, width) for row in (rows[1:] if head else rows)))
        start = self._add(top + body if body else top.rstrip("\n"), item=False)
        end = self._builder.length
        if len(self._tables) < self._limits.tables:
            self._tables.append(Table(start, min(start + len(top), end), end))

    def extracted(self, kind: DocumentFormat, title: str | None = None, dated_at: str | None = None) -> Extracted:
        return Extracted(
            kind,
            self._builder.build(),
            pages=tuple(self._pages),
            headings=tuple(self._headings),
            warnings=tuple(self.warnings),
            tables=tuple(self._tables),
            title=title,
            dated_at=dated_at,
        )

    def _mark_page(self) -> None:
        if len(self._pages) < self._limits.pages:
            self._pages.append(self._builder.length)

    def _add(self, text: str, item: bool) -> int:
        if self._section is not None:
            section, self._section = self._section, None
            self.heading(*section)
        if self._gap:
            self._builder.add("\n" if item and self._in_list else self._gap)
        self._gap, self._in_list = "\n\n", item
        return self._builder.add(text)


def check_length(length: int, limits: ContentLimits) -> None:
    """For readers that gather much before they write any of it."""
    if length > limits.characters:
        TextBuilder(limits, length).add("")


def one_line(text: str) -> str:
    """Whatever parts words, line breaks among it, becomes one space."""
    # What can be printed has no spaces but the plain ones; most cells of a large table are told by that.
    return text.strip() if text.isprintable() and "  " not in text else " ".join(text.split())


def looks_like_head(rows: Sequence[Row]) -> bool:
    """The first row names the columns: words only (or years), hardly one twice, and hardly a gap."""
    if len(rows) < 2:
        return False
    names = [name for name in rows[0] if name]
    if len(names) * 2 < max(len(row) for row in rows[:_NEAR]):
        return False
    numbers = [name for name in names if looks_like_number(name)]
    if len(set(names)) * 2 <= len(names) and (numbers or not any(map(looks_like_number, rows[1]))):
        return False
    return not numbers or (len(numbers) < len(names) + (not rows[0][0]) and all(map(_YEAR.match, numbers)))


def looks_like_number(text: str) -> bool:
    """Amounts, shares, dates: whatever a column's name is not."""
    return bool(_NUMBER.match(text))


def _head_lines(row: Row, width: int) -> str:
    return f"{_line(row, width)}\n| {' | '.join([_DASHES] * width)} |\n"


def _line(row: Row, width: int) -> str:
    missing = width - len(row)
    if missing > 0:
        row = [*row, *[""] * missing]
    line = " | ".join(row)
    if line.count("|") >= len(row):
        line = " | ".join(cell.replace("|", "\\|") for cell in row)
    return f"| {line} |"
