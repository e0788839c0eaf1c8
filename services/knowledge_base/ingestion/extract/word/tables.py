"""The cells of a Word table as a grid: each column where it stands, though cells span columns and rows."""

from collections.abc import Iterator

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import one_line
from services.knowledge_base.ingestion.extract.office.xml import Element
from services.knowledge_base.ingestion.extract.word.inline import read_inline
from services.knowledge_base.ingestion.extract.word.xml import W, value

PARAGRAPH, TABLE, _ROW, _CELL = (W + name for name in ("p", "tbl", "tr", "tc"))
CONTAINERS = frozenset(W + name for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
_INSIDE_CELLS = CONTAINERS | {TABLE, _ROW, _CELL}
_WIDEST = 200
# A cell that spans rows says to which a row belongs; one with a long text rather is a layout.
_REPEATED = 200
_LONGEST = 1500


def is_layout(rows: list[list[str]]) -> bool:
    """Tables are also drawn to put texts beside each other, or a frame around one."""
    return max(map(len, rows), default=0) < 2 or any(len(cell) > _LONGEST for row in rows for cell in row)


def table_rows(table: Element) -> list[list[str]]:
    rows: list[list[str]] = []
    above: dict[int, str] = {}
    for row in descend(table, _ROW):
        cells: list[str] = []
        for cell in descend(row, _CELL):
            text, span = _cell(cell, above.get(len(cells), ""))
            above[len(cells)] = text if len(text) <= _REPEATED else ""
            cells += [text, *[""] * (span - 1)]
        rows.append(cells)
    return _without_empty_columns([row for row in rows if any(row)])


def cells_of(table: Element) -> Iterator[Element]:
    return (cell for row in descend(table, _ROW) for cell in descend(row, _CELL))


def has_head(table: Element) -> bool:
    row = next(descend(table, _ROW), None)
    return row is not None and row.find(f"{W}trPr/{W}tblHeader") is not None


def descend(parent: Element, tag: str) -> Iterator[Element]:
    """Children of this tag, looking through content controls and tracked insertions."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in CONTAINERS:
            yield from descend(child, tag)


def text_inside(parent: Element) -> str:
    return one_line(clean(" ".join(_texts_inside(parent))))


def _cell(cell: Element, above: str) -> tuple[str, int]:
    properties = cell.find(W + "tcPr")
    if properties is None:
        return text_inside(cell), 1
    span = value(properties, W + "gridSpan")
    merged = properties.find(W + "vMerge")
    goes_on = merged is not None and merged.get(W + "val", "continue") == "continue"
    text = text_inside(cell) or (above if goes_on else "")
    return text, min(int(span), _WIDEST) if span.isdecimal() and span != "0" else 1


def _without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    width = max(map(len, rows), default=0)
    used = [column for column in range(width) if any(column < len(row) and row[column] for row in rows)]
    return [[row[column] if column < len(row) else "" for column in used] for row in rows]


def _texts_inside(parent: Element) -> Iterator[str]:
    for child in parent:
        if child.tag == PARAGRAPH:
            inline = read_inline(child)
            yield from inline.text()
            for box in inline.boxes:
                yield from _texts_inside(box)
        elif child.tag in _INSIDE_CELLS:
            yield from _texts_inside(child)
