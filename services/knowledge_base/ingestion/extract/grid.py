"""Finds the tables on a sheet: a sheet is cells without borders, and a person sees tables by the room around them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.knowledge_base.ingestion.extract.compose import Composer, looks_like_head, looks_like_number

# Two columns left empty part two tables; one is often no more than room to breathe.
_WIDE_GAP = 2
_HEAD_ROWS = 3
_LONG = 60
_FILLED = 100_000
_NEAR = 50

Span = tuple[tuple[int, int], tuple[int, int]]


@dataclass(slots=True)
class Block:
    """Rows of a sheet that stand together; `top` and `left` are where, from 0."""

    top: int
    left: int
    rows: list[list[str]]

    @property
    def width(self) -> int:
        return len(self.rows[0])

    def without_empty_columns(self) -> list[list[str]]:
        used = _used_columns(self.rows)
        return self.rows if len(used) == self.width else [[row[column] for column in used] for row in self.rows]


def add_grid(composer: Composer, rows: Iterable[list[str]], merged: Sequence[Span] = ()) -> None:
    """Write the tables and the lines of text found in `rows`, whose first is the sheet's first."""
    spans = _Spans(merged)
    for band in _joined(_bands(rows)):
        for block in _cut_by_columns(band):
            _add_block(composer, block, spans)


def _add_block(composer: Composer, block: Block, spans: "_Spans") -> None:
    if len(_used_columns(block.rows)) == 1:
        for row in block.rows:
            composer.block("".join(row), item=True)
        return
    above = _lines_at(block.rows, lambda _: True)
    below = _lines_at(block.rows[:above:-1], lambda line: len(line) > _LONG)
    for row in block.rows[:above]:
        composer.block("".join(row))
    end = len(block.rows) - below
    body = Block(block.top + above, block.left, block.rows[above:end])
    head = _head_rows(body.rows)
    spans.fill(body)
    table = body.without_empty_columns()
    if head:
        table = [_one_head(table[:head]), *table[head:]]
    composer.table(table, head=head > 0)
    for row in block.rows[end:]:
        composer.block("".join(row))


def _bands(rows: Iterable[list[str]]) -> Iterator[Block]:
    """Cut where a row is empty."""
    band: list[list[str]] = []
    number = -1
    for number, row in enumerate(rows):
        if any(row):
            band.append(row)
        elif band:
            yield Block(number - len(band), 0, band)
            band = []
    if band:
        yield Block(number + 1 - len(band), 0, band)


def _joined(bands: Iterable[Block]) -> Iterator[Block]:
    """Column names and their columns are one table, even with an empty row between them."""
    waiting: Block | None = None
    for band in bands:
        if waiting and band.top == waiting.top + len(waiting.rows) + 1 and _names(waiting.rows, band.rows[0]):
            band = Block(waiting.top, 0, [*waiting.rows, band.rows[0], *band.rows[1:]])
        elif waiting:
            yield waiting
        waiting = band
    if waiting:
        yield waiting


def _names(upper: list[list[str]], first: list[str]) -> bool:
    if len(upper) > _HEAD_ROWS or _has_number(upper[-1]) or not _has_number(first):
        return False
    named = {column for column, cell in enumerate(upper[-1]) if cell}
    return len(named) > 1 and not named.isdisjoint(column for column, cell in enumerate(first) if cell)


def _cut_by_columns(block: Block) -> Iterator[Block]:
    used = _used_columns(block.rows)
    groups = [[used[0]]]
    for before, column in pairwise(used):
        if column - before > 1 and _parts(block.rows, before, column):
            groups.append([])
        groups[-1].append(column)
    if len(groups) == 1:
        yield Block(block.top, block.left + used[0], [row[used[0] : used[-1] + 1] for row in block.rows])
        return
    for columns in groups:
        part = [row[columns[0] : columns[-1] + 1] for row in block.rows]
        for band in _bands(part):
            inner = Block(block.top + band.top, block.left + columns[0], band.rows)
            yield from _cut_by_columns(inner) if len(band.rows) < len(part) else (inner,)


def _parts(rows: list[list[str]], before: int, after: int) -> bool:
    """Whether the empty columns between these two part tables: they are wide, or begin or end at other rows."""
    if after - before > _WIDE_GAP:
        return True
    return _extent(rows, range(before + 1)) != _extent(rows, range(after, len(rows[0])))


def _extent(rows: list[list[str]], columns: range) -> tuple[int, int]:
    filled = [number for number, row in enumerate(rows) if any(row[columns.start : columns.stop])]
    return filled[0], filled[-1]


def _used_columns(rows: list[list[str]]) -> list[int]:
    """In order; in most tables the first rows fill all of them."""
    width = len(rows[0])
    used = {column for row in rows[:_NEAR] for column, cell in enumerate(row) if cell}
    rest = [column for column in range(width) if column not in used]
    if rest and len(rows) > _NEAR:
        used.update(column for column in rest if any(row[column] for row in rows))
    return sorted(used)


def _lines_at(rows: Sequence[list[str]], wanted: Callable[[str], bool]) -> int:
    """How many rows there hold one cell alone, as titles and footnotes do."""
    number = 0
    for row in rows[:-1]:
        cells = [cell for cell in row if cell]
        if len(cells) != 1 or not wanted(cells[0]):
            break
        number += 1
    return number


def _head_rows(rows: list[list[str]]) -> int:
    """A head of several rows has gaps in the upper ones: what is named there spans columns."""
    number = 0
    while number < _HEAD_ROWS - 1 and len(rows) > number + 2 and _has_gaps(rows[number]):
        if _has_number(rows[number]) or _has_number(rows[number + 1]):
            break
        number += 1
    return number + 1 if looks_like_head([_one_head(rows[: number + 1]), *rows[number + 1 :]]) else 0


def _has_gaps(row: list[str]) -> bool:
    return sum(not cell for cell in row[1:]) * 3 >= len(row)


def _has_number(row: list[str]) -> bool:
    return any(cell and looks_like_number(cell) for cell in row)


def _one_head(rows: list[list[str]]) -> list[str]:
    return [" ".join(dict.fromkeys(cell for cell in column if cell)) for column in zip(*rows, strict=True)]


class _Spans:
    """Merged cells: their text is written in the first and holds for all."""

    def __init__(self, merged: Sequence[Span]) -> None:
        self._spans = sorted(merged)
        self._room = _FILLED

    def fill(self, block: Block) -> None:
        bottom, right = block.top + len(block.rows) - 1, block.left + block.width - 1
        for (top, left), (last_row, last_column) in self._spans:
            if top < block.top or left < block.left or top > bottom or left > right:
                continue
            last_row, last_column = min(last_row, bottom), min(last_column, right)
            if top == last_row and left == block.left and last_column == right:
                continue  # a title across the table
            text = block.rows[top - block.top][left - block.left]
            for row in range(top, last_row + 1):
                self._fill_row(block.rows[row - block.top], text, left - block.left, last_column - block.left)

    def _fill_row(self, row: list[str], text: str, first: int, last: int) -> None:
        if self._room < last - first + 1:
            return
        self._room -= last - first + 1
        for column in range(first, last + 1):
            row[column] = row[column] or text
