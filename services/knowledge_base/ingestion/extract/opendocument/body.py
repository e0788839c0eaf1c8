"""What OpenDocument texts and presentations hold: paragraphs, headings, lists, tables, notes, boxes, objects."""

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import Composer, looks_like_head, one_line
from services.knowledge_base.ingestion.extract.office.xml import BrokenPart, Element, local
from services.knowledge_base.ingestion.extract.opendocument.package import OpenDocument
from services.knowledge_base.ingestion.extract.opendocument.xml import (
    CHART,
    DRAW,
    MATH,
    OFFICE,
    PRESENTATION,
    STYLE,
    TABLE,
    TEXT,
    XLINK,
)

_PARAGRAPHS = frozenset({TEXT + "p", TEXT + "h"})
_LEFT_OUT = frozenset(
    {TEXT + "tracked-changes", TEXT + "ruby-text", OFFICE + "forms", PRESENTATION + "notes"}
    | {DRAW + "image", TEXT + "note-citation", OFFICE + "event-listeners"}
)
# What hangs on a paragraph but stands elsewhere.
_ATTACHED = frozenset({TEXT + "note", OFFICE + "annotation", DRAW + "frame", DRAW + "custom-shape", DRAW + "g"})
_ROWS = TABLE + "table-row"
_CELLS = (TABLE + "table-cell", TABLE + "covered-table-cell")
_MOST_REPEATED = 100
_MOST_SPACES = 100
_DEEPEST = 9
_INDENT = "  "
_TITLE = "Title"


@dataclass(slots=True)
class _Inline:
    pieces: list[str] = field(default_factory=list[str])
    attached: list[Element] = field(default_factory=list[Element])


class Body:
    def __init__(self, composer: Composer, document: OpenDocument) -> None:
        self._composer = composer
        self._document = document
        self._numbered: set[tuple[str, int]] = set()
        self._counts: dict[str, int] = {}
        self._titles = {_TITLE}

    def learn_styles(self, root: Element) -> None:
        """Which levels of which list styles are numbered, and which styles of paragraphs are the title's."""
        for style in root.iter(STYLE + "style"):
            if style.get(STYLE + "parent-style-name", "") == _TITLE:
                self._titles.add(style.get(STYLE + "name", ""))
        for style in root.iter(TEXT + "list-style"):
            for level in style.findall(TEXT + "list-level-style-number"):
                if level.get(STYLE + "num-format", ""):
                    self._numbered.add((style.get(STYLE + "name", ""), _count(level.get(TEXT + "level", ""))))

    def blocks(self, parent: Iterable[Element]) -> None:
        for child in parent:
            tag = child.tag
            if tag in _PARAGRAPHS:
                self._paragraph(child)
            elif tag == TEXT + "list":
                self._list(child, 1, child.get(TEXT + "style-name", ""))
            elif tag == TABLE + "table":
                self.table(child)
            elif tag == DRAW + "object":
                self._object(child)
            elif tag == TEXT + "soft-page-break":
                self._composer.page()
            elif tag == OFFICE + "annotation":
                self._annotation(child)
            elif tag not in _LEFT_OUT:
                self.blocks(child)

    def table(self, table: Element) -> None:
        rows = [cells for cells in (list(_cells(row)) for row in _rows(table)) if any(cells)]
        width = max((len(row) for row in rows), default=0)
        used = [column for column in range(width) if any(column < len(row) and row[column] for row in rows)]
        table_rows = [[row[column] if column < len(row) else "" for column in used] for row in rows]
        named = table.find(TABLE + "table-header-rows") is not None
        self._composer.table(table_rows, head=len(rows) > 1 and (named or looks_like_head(table_rows)))

    def _paragraph(self, element: Element, label: str = "") -> None:
        inline = _read_inline(element)
        text = clean("".join(inline.pieces)).strip()
        start = self._composer.block(f"{label} {text}" if label and text else text, item=bool(label))
        if element.tag == TEXT + "h":
            level = element.get(TEXT + "outline-level", "")
            self._composer.mark(int(level) if level.isdecimal() else 1, text, start)
        elif element.get(TEXT + "style-name", "") in self._titles:
            self._composer.mark(0, text, start)
        for attached in inline.attached:
            self._attached(attached)

    def _attached(self, element: Element) -> None:
        if element.tag == OFFICE + "annotation":
            self._annotation(element)
        else:
            self.blocks(element)

    def _annotation(self, element: Element) -> None:
        text = one_line(" ".join(texts_in(element))).strip()
        self._composer.block(f"Comment: {text}" if text else "")

    def _list(self, element: Element, level: int, style: str) -> None:
        style = element.get(TEXT + "style-name", "") or style
        numbered = (style, level) in self._numbered
        carried_on = element.get(TEXT + "continue-numbering", "") == "true"
        number = self._counts.get(f"{style} {level}", 0) if carried_on else 0
        for item in element:
            if item.tag == TEXT + "list-item":
                number = (
                    _count(item.get(TEXT + "start-value", "")) if item.get(TEXT + "start-value", "") else number + 1
                )
            label = _INDENT * min(level - 1, _DEEPEST) + (f"{number}." if numbered else "-")
            self._item(item, label if item.tag == TEXT + "list-item" else "", level, style)
        self._counts[f"{style} {level}"] = number

    def _item(self, item: Element, label: str, level: int, style: str) -> None:
        for child in item:
            if child.tag in _PARAGRAPHS:
                self._paragraph(child, "" if child.tag == TEXT + "h" else label)
                label = ""
            elif child.tag == TEXT + "list":
                self._list(child, level + 1, style)

    def _object(self, element: Element) -> None:
        """A formula or a chart: inside the file in a folder of its own, or right here."""
        folder = posixpath.normpath(element.get(XLINK + "href", ""))
        try:
            root = self._document.xml(f"{folder}/content.xml") if folder != "." else element
        except BrokenPart:
            return
        if root is None:
            return
        formula = one_line(" ".join(_formula(root))).strip()
        self._composer.block(formula)
        for chart in root.iter(CHART + "chart"):
            kind = chart.get(CHART + "class", "").rpartition(":")[2].capitalize()
            titles = [one_line(" ".join(texts_in(title))) for title in chart.iter(CHART + "title")]
            self._composer.block(": ".join(filter(None, (f"{kind} chart".strip(), ", ".join(titles)))))
            for table in chart.iter(TABLE + "table"):
                self.table(table)


def texts_in(parent: Element) -> Iterator[str]:
    """The paragraphs inside, whatever they stand in."""
    for child in parent:
        if child.tag in _PARAGRAPHS:
            inline = _read_inline(child)
            yield clean("".join(inline.pieces))
            for attached in inline.attached:
                if attached.tag != OFFICE + "annotation":
                    yield from texts_in(attached)
        elif child.tag not in _LEFT_OUT:
            yield from texts_in(child)


def _read_inline(paragraph: Element) -> _Inline:
    inline = _Inline()
    _walk(paragraph, inline)
    return inline


def _walk(parent: Element, inline: _Inline) -> None:
    inline.pieces.append(_spaced(parent.text))
    for child in parent:
        tag = child.tag
        if tag == TEXT + "s":
            inline.pieces.append(" " * min(_count(child.get(TEXT + "c", "")), _MOST_SPACES))
        elif tag == TEXT + "tab":
            inline.pieces.append("\t")
        elif tag == TEXT + "line-break":
            inline.pieces.append("\n")
        elif tag in _ATTACHED:
            inline.attached.append(child)
        elif tag not in _LEFT_OUT:
            _walk(child, inline)
        inline.pieces.append(_spaced(child.tail))


def _spaced(text: str | None) -> str:
    """Line breaks in the file itself are spaces."""
    return (text or "").replace("\r", " ").replace("\n", " ")


def _rows(parent: Element) -> Iterator[Element]:
    for child in parent:
        if child.tag == _ROWS:
            yield from [child] * min(_count(child.get(TABLE + "number-rows-repeated", "")), _MOST_REPEATED)
        elif local(child.tag) in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _rows(child)


def _cells(row: Element) -> Iterator[str]:
    for cell in row:
        if cell.tag in _CELLS:
            text = one_line(" ".join(texts_in(cell))).strip()
            repeated = min(_count(cell.get(TABLE + "number-columns-repeated", "")), _MOST_REPEATED)
            yield from [text] * repeated


def _formula(root: Element) -> Iterator[str]:
    for element in root.iter(MATH + "mi", MATH + "mn", MATH + "mo", MATH + "mtext"):
        yield element.text or ""


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 1
