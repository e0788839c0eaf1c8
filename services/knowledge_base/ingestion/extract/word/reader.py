"""Word documents, in reading order: paragraphs, lists with their numbers, tables, text boxes, charts, notes."""

import re
from collections.abc import Iterator
from itertools import count
from typing import cast

from docx.document import Document

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    Heading,
    Source,
    TextBuilder,
)
from services.knowledge_base.ingestion.extract.word.inline import PAGE_BREAK, Inline, read_inline
from services.knowledge_base.ingestion.extract.word.numbering import Numbering
from services.knowledge_base.ingestion.extract.word.package import Notes, open_package
from services.knowledge_base.ingestion.extract.word.styles import ParagraphStyle, Styles
from services.knowledge_base.ingestion.extract.word.xml import C, Element, W, parse_xml

_PARAGRAPH, _TABLE, _ROW, _CELL = (W + name for name in ("p", "tbl", "tr", "tc"))
_CONTAINERS = frozenset(W + name for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
_INSIDE_CELLS = _CONTAINERS | {_TABLE, _ROW, _CELL}
_TITLE_LENGTH = 300
_SPACES = re.compile(r"\s+")


def extract_docx(source: Source, limits: ContentLimits) -> Extracted:
    document = open_package(source.read(), limits)
    return _Reader(document, limits).read()


class _Reader:
    def __init__(self, document: Document, limits: ContentLimits) -> None:
        self._document = document
        self._limits = limits
        self._builder = TextBuilder(limits)
        self._pages = [0]
        self._headings: list[Heading] = []
        self._styles = Styles(document.styles.element)
        self._numbering = Numbering(_numbering_root(document))
        self._notes = Notes.of(document)
        self._after_list_item = False

    def read(self) -> Extracted:
        body = cast(Element, self._document.element).find(W + "body")
        if body is not None:
            self._blocks(body)
        pages = tuple(self._pages) if len(self._pages) > 1 else ()
        return Extracted(DocumentFormat.DOCX, self._builder.build(), pages, tuple(self._headings))

    def _blocks(self, parent: Element) -> None:
        for child in parent:
            if child.tag == _PARAGRAPH:
                self._paragraph(child)
            elif child.tag == _TABLE:
                self._table(child)
            elif child.tag in _CONTAINERS:
                self._blocks(child)

    def _paragraph(self, element: Element) -> None:
        inline = read_inline(element)
        segments = [clean(text) for text in inline.text()]
        if any(segment.strip() for segment in segments):
            self._text(segments, self._styles.of(element))
        else:
            self._new_pages(len(segments) - 1)
        if inline.has_attachments:
            self._attachments(inline)

    def _text(self, segments: list[str], style: ParagraphStyle) -> None:
        label = self._label(style)
        start = self._block((label + " " if label else "") + segments[0], list_item=bool(label))
        for segment in segments[1:]:
            self._new_pages(1)
            self._builder.add(segment)
        if style.heading is not None and len(self._headings) < self._limits.headings:
            title = _SPACES.sub(" ", " ".join(filter(None, (label, *segments)))).strip()
            self._headings.append(Heading(style.heading, title[:_TITLE_LENGTH], start))

    def _label(self, style: ParagraphStyle) -> str:
        if not style.number:
            return ""
        level = style.list_level
        if level is None:
            level = self._numbering.level_of_style(style.number, style.name) or 0
        return self._numbering.next_label(style.number, level)

    def _attachments(self, inline: Inline) -> None:
        for box in inline.boxes:
            self._blocks(box)
        for relation in inline.charts:
            self._chart(relation)
        for reference in inline.notes:
            note = self._notes.by_id.get(reference)
            if note is not None:
                self._blocks(note)

    def _table(self, table: Element) -> None:
        lines: list[str] = []
        for row in _descend(table, _ROW):
            cells = [_cell_text(cell) for cell in _descend(row, _CELL)]
            if any(cells):
                lines.append(" | ".join(cells))
        breaks = sum(1 for _ in table.iter(PAGE_BREAK))
        if lines:
            self._block("\n".join(lines))
        self._new_pages(breaks)

    def _chart(self, relation: str) -> None:
        part = self._document.part.related_parts.get(relation)
        if part is not None:
            lines = list(_chart_lines(parse_xml(part.blob)))
            if lines:
                self._block("\n".join(lines))

    def _block(self, text: str, *, list_item: bool = False) -> int:
        if self._builder.length:
            self._builder.add("\n" if list_item and self._after_list_item else "\n\n")
        self._after_list_item = list_item
        return self._builder.add(text.lstrip("\n"))

    def _new_pages(self, number: int) -> None:
        room = self._limits.pages - len(self._pages)
        self._pages.extend([self._builder.length] * min(number, room))


def _numbering_root(document: Document) -> Element | None:
    return next(
        (
            parse_xml(relation.target_part.blob)
            for relation in document.part.rels.values()
            if not relation.is_external and relation.reltype.endswith("/numbering")
        ),
        None,
    )


def _descend(parent: Element, tag: str) -> Iterator[Element]:
    """Children of this tag, looking through content controls and tracked insertions."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _CONTAINERS:
            yield from _descend(child, tag)


def _cell_text(cell: Element) -> str:
    return _SPACES.sub(" ", clean(" ".join(_texts_inside(cell)))).strip()


def _texts_inside(parent: Element) -> Iterator[str]:
    for child in parent:
        if child.tag == _PARAGRAPH:
            inline = read_inline(child)
            yield from inline.text()
            for box in inline.boxes:
                yield from _texts_inside(box)
        elif child.tag in _INSIDE_CELLS:
            yield from _texts_inside(child)


def _chart_lines(chart: Element) -> Iterator[str]:
    """The numbers behind a chart as a table: one line per category, one column per series."""
    series = [[_values(one, name) for name in ("tx", "cat", "val")] for one in chart.iter(C + "ser")]
    if not series:
        return
    yield " | ".join(["", *(" ".join(names) for names, _, _ in series)])
    for row in count():
        if not any(row < len(values) for _, _, values in series):
            return
        category = next((categories[row] for _, categories, _ in series if row < len(categories)), "")
        yield " | ".join([category, *(values[row] if row < len(values) else "" for _, _, values in series)])


def _values(series: Element, name: str) -> list[str]:
    part = series.find(C + name)
    return [] if part is None else [_number(clean(point.text or "").strip()) for point in part.iter(C + "v")]


def _number(text: str) -> str:
    """Excel writes 2.4 as 2.4000000000000004."""
    try:
        return f"{float(text):.10g}"
    except ValueError:
        return text
