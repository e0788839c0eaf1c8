"""Columns that a PDF draws line by line across the page: each is read to its end before the next."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from services.knowledge_base.ingestion.extract.pdfium import Box, PdfPage

_LEAST_LINES = 6
# Of the page's width. Prose fills its column; what is narrower or apart may be the cells of a table.
_COLUMN = 0.28
_FULL = 0.75
_GUTTER = 0.012
_LONG_LINE = re.compile(r"[^\r\n]{30,}")
_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class _Columns:
    gutter: float
    top: float
    bottom: float


def text_by_columns(page: PdfPage) -> str | None:
    """None if the page has no such columns."""
    width, height = page.size
    found = _find(page.boxes(), width) if _has_gaps(page, _GUTTER * width) else None
    if found is None:
        return None
    parts = (
        Box(0, found.top, width, height),
        Box(0, found.bottom, found.gutter, found.top),
        Box(found.gutter, found.bottom, width, found.top),
        Box(0, 0, width, found.bottom),
    )
    return "\n\n".join(text for part in parts if (text := page.text(part).strip()))


def _has_gaps(page: PdfPage, gutter: float) -> bool:
    """Whether most lines have a gap in the middle, told from a few: to look at the whole page costs as much as it."""
    lines = [(found.start(), found.end()) for found in _LONG_LINE.finditer(page.indexed)]
    if len(lines) < _LEAST_LINES:
        return False
    sample = lines[:: max(1, len(lines) // _SAMPLE)][:_SAMPLE]
    return 2 * sum(_has_gap(page, start, end, gutter) for start, end in sample) > len(sample)


def _has_gap(page: PdfPage, start: int, end: int, gutter: float) -> bool:
    margin = (end - start) // 4
    for place in range(start + margin, end - margin):
        if page.indexed[place] == " ":
            before, after = page.box_of(place - 1), page.box_of(place + 1)
            if before and after and after.left - before.right >= gutter:
                return True
    return False


def _find(boxes: list[Box], width: float) -> _Columns | None:
    pairs = list(_beside(boxes, width))
    if len(pairs) < _LEAST_LINES:
        return None
    lefts, rights = [left for left, _ in pairs], [right for _, right in pairs]
    end, begin = max(box.right for box in lefts), min(box.left for box in rights)
    if begin - end < _GUTTER * width:
        return None
    if not (_is_prose(lefts) and _is_prose(rights)):
        return None
    gutter = (begin + end) / 2
    across = [box for box in boxes if box.left < end - 1 and box.right > begin + 1]
    top, bottom = max(box.top for box in lefts), min(box.bottom for box in rights)
    # As far up and down as nothing reaches across.
    above = [box.bottom for box in across if box.bottom >= top]
    below = [box.top for box in across if box.top <= bottom]
    if any(bottom < box.bottom < top for box in across):
        return None
    return _Columns(gutter, min(above, default=top) - 0.1 if above else top + 1, max(below, default=-1.0) + 0.1)


def _beside(boxes: list[Box], width: float) -> Iterator[tuple[Box, Box]]:
    lines = list(_lines(boxes, width * _GUTTER))
    for left, right in pairwise(lines):
        overlap = min(left.top, right.top) - max(left.bottom, right.bottom)
        beside = overlap > 0.5 * min(left.height, right.height) and right.left - left.right >= _GUTTER * width
        if beside and min(left.width, right.width) >= _COLUMN * width * _FULL:
            yield left, right


def _lines(boxes: list[Box], gap: float) -> Iterator[Box]:
    """Pieces that touch are one line: a new one begins with every change of font."""
    line: Box | None = None
    for box in boxes:
        if line and _same_line(line, box) and -gap < box.left - line.right < gap:
            line = Box(
                min(line.left, box.left),
                min(line.bottom, box.bottom),
                max(line.right, box.right),
                max(line.top, box.top),
            )
            continue
        if line:
            yield line
        line = box
    if line:
        yield line


def _same_line(one: Box, other: Box) -> bool:
    return min(one.top, other.top) - max(one.bottom, other.bottom) > 0.3 * min(one.height, other.height)


def _is_prose(lines: list[Box]) -> bool:
    """Most of the lines begin at one edge and fill the column."""
    widest = max(line.width for line in lines)
    left = min(line.left for line in lines)
    full = sum(line.width >= _FULL * widest and line.left - left < 0.1 * widest for line in lines)
    return full >= 0.6 * len(lines)
