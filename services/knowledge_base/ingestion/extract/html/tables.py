"""Tables of a page: those that hold data become rows, those that only arrange a page are no tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from services.knowledge_base.ingestion.extract.html.tree import Element
from services.knowledge_base.ingestion.extract.html.visible import is_hidden, line_of

_WIDEST = 500
_LONGEST_CELL = 2000
# Nobody writes these into a cell of data.
_STRUCTURE = ("table", "h1", "h2", "h3", "h4", "h5", "h6", "form", "pre", "article", "section")


@dataclass(frozen=True, slots=True)
class Layout:
    """It arranges a page: read what is in it."""


@dataclass(frozen=True, slots=True)
class DataTable:
    rows: list[list[str]]
    has_head: bool
    caption: str


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    across: int
    down: int
    is_head: bool


def read_table(table: Element) -> DataTable | Layout:
    if table.get("role") in ("presentation", "none") or next(table.iterdescendants(*_STRUCTURE), None) is not None:
        return Layout()
    rows = list(_rows(table))
    cells = [[_cell(cell) for cell in _cells(row)] for _, row in rows]
    if max((len(row) for row in cells), default=0) < 2 or any(
        len(cell.text) > _LONGEST_CELL for row in cells for cell in row
    ):
        return Layout()
    kept = [(in_head, row) for (in_head, _), row in zip(rows, cells, strict=True) if any(cell.text for cell in row)]
    head_rows = _head_rows(kept)
    grid = _without_empty_columns(_spread([row for _, row in kept], head_rows))
    head = [_joined(names) for names in zip_longest(*grid[:head_rows], fillvalue="")]
    if len(grid) == 0 or len(grid[0]) < 2:
        return Layout()
    caption = next((line_of(one) for one in table if one.tag == "caption"), "")
    return DataTable([head, *grid[head_rows:]] if head_rows else grid, bool(head_rows), caption)


def _joined(names: tuple[str, ...]) -> str:
    """One name of a column out of those that stand above one another."""
    return " ".join(dict.fromkeys(filter(None, names)))


def _rows(table: Element) -> Iterator[tuple[bool, Element]]:
    """With whether they stand in the table's head; no table is within, so every row is its own."""
    for row in table.iter("tr"):
        parent = row.getparent()
        if not is_hidden(row):
            yield parent is not None and parent.tag == "thead", row


def _cells(row: Element) -> Iterator[Element]:
    return (cell for cell in row if cell.tag in ("td", "th") and not is_hidden(cell))


def _cell(element: Element) -> _Cell:
    return _Cell(line_of(element), _span(element, "colspan"), _span(element, "rowspan"), element.tag == "th")


def _span(element: Element, name: str) -> int:
    value = element.get(name)
    if value is None:
        return 1
    value = value.strip()
    return min(max(int(value), 1), _WIDEST) if value.isascii() and value.isdigit() and len(value) < 6 else 1


def _head_rows(rows: list[tuple[bool, list[_Cell]]]) -> int:
    """Rows of the head, else those at the begin that have nothing but head cells; never all rows."""
    count = 0
    for in_head, row in rows:
        if not (in_head or all(cell.is_head for cell in row)):
            break
        count += 1
    return count if count < len(rows) else min(1, max(0, len(rows) - 1))


def _spread(rows: list[list[_Cell]], head_rows: int) -> list[list[str]]:
    """Cells in their columns. A cell over many rows is repeated in each; one over many columns only in the head, where
    it names them all."""
    reaching: dict[int, tuple[str, int]] = {}  # column: text from above, and for how many more rows
    grid: list[list[str]] = []
    for number, row in enumerate(rows):
        line: list[str] = []
        for cell in row:
            _from_above(line, reaching)
            for place in range(min(cell.across, _WIDEST - len(line))):
                text = cell.text if place == 0 or number < head_rows else ""
                if cell.down > 1:  # what is left of it below, and this row
                    reaching[len(line)] = (text, cell.down)
                line.append(text)
        _from_above(line, reaching)
        grid.append(line)
        if reaching:
            reaching = {column: (text, left - 1) for column, (text, left) in reaching.items() if left > 1}
    return grid


def _from_above(line: list[str], reaching: dict[int, tuple[str, int]]) -> None:
    while len(line) in reaching:
        line.append(reaching[len(line)][0])


def _without_empty_columns(grid: list[list[str]]) -> list[list[str]]:
    width = max((len(line) for line in grid), default=0)
    used = [any(column < len(line) and line[column] for line in grid) for column in range(width)]
    return [[text for text, keep in zip(line, used, strict=False) if keep] for line in grid]
