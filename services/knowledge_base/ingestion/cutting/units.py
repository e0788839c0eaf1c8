"""What chunks are put together from: sentences, lines of code, rows of tables, each with its cost in tokens."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.knowledge_base.ingestion.cutting.regions import Region
from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted

CountTokens = Callable[[Sequence[str]], Sequence[int]]

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,}).*$", re.M)
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026:;])[\"'\u201d\u2019)\]]*\s+|(?<=[\u3002\uff01\uff1f])")
_LINE_END = re.compile(r"\n")
_CELL_END = re.compile(r"(?<!\\)\|")
# A tokenizer takes a word of any length for one token, and embeddings of endless words are worth nothing.
_CHARACTERS_PER_TOKEN = 10


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What is never cut further. Units of one paragraph, one row or the like share their `block`."""

    start: int
    end: int
    cost: int
    block: int


class Counter:
    def __init__(self, text: str, count_tokens: CountTokens) -> None:
        self._text = text
        self._count = count_tokens

    def of(self, texts: Sequence[str]) -> dict[str, int]:
        """Counting in large batches is many times faster than one by one."""
        wanted = [text for text in dict.fromkeys(texts) if text]
        return {"": 0, **dict(zip(wanted, self._count(wanted), strict=True))} if wanted else {"": 0}

    def costs(self, spans: Sequence[Span], enough: Sequence[int]) -> list[int]:
        """What each span costs; `enough` or more for those whose length alone says that they cost more."""
        floors = [-(-(span.end - span.start) // _CHARACTERS_PER_TOKEN) for span in spans]
        short = [
            self._text[span.start : span.end]
            for span, floor, too_much in zip(spans, floors, enough, strict=True)
            if floor < too_much
        ]
        counts = iter(self._count(short) if short else ())
        return [
            floor if floor >= too_much else max(floor, next(counts))
            for floor, too_much in zip(floors, enough, strict=True)
        ]


_Cut = Callable[[str, Span], Iterator[Span]]


@dataclass(frozen=True, slots=True)
class _Block:
    """Cut by `coarse`, and what is too large of that by `fine`."""

    number: int
    span: Span
    coarse: _Cut
    fine: _Cut
    budget: int


_Piece = tuple[_Block, Span]


def units(document: Extracted, regions: Sequence[Region], budgets: Sequence[int], counter: Counter) -> list[Unit]:
    """Of all regions in order, none dearer than its region's budget."""
    text = document.text
    blocks: list[_Block] = []
    for region, budget in zip(regions, budgets, strict=True):
        make = _rows if region.table else _paragraphs
        blocks.extend(make(document, region, budget, len(blocks)))
    done: list[Unit] = []
    todo = [(block, span) for block in blocks for span in block.coarse(text, block.span)]
    todo = _measure(todo, counter, done)
    todo = [(block, piece) for block, span in todo for piece in block.fine(text, span)]
    while todo := _measure(todo, counter, done):
        todo = [(block, piece) for block, span in todo for piece in _halves(text, span)]
    return sorted(done, key=lambda unit: unit.start)


def _measure(todo: Sequence[_Piece], counter: Counter, done: list[Unit]) -> list[_Piece]:
    """Moves what fits to `done`; returns what is still too large."""
    too_large: list[_Piece] = []
    costs = counter.costs([span for _, span in todo], [block.budget + 1 for block, _ in todo])
    for piece, cost in zip(todo, costs, strict=True):
        block, span = piece
        if cost <= block.budget or span.end - span.start == 1:
            done.append(Unit(span.start, span.end, min(cost, block.budget), block.number))
        else:
            too_large.append(piece)
    return too_large


def _paragraphs(document: Extracted, region: Region, budget: int, number: int) -> Iterator[_Block]:
    """Blank lines part them. A fenced block is one whatever it holds."""
    text, markdown = document.text, document.format is DocumentFormat.MARKDOWN
    fences = _fences(text, region, tildes=markdown)
    if fences:
        starts = [fence.start for fence in fences]
        cuts = [region.start]
        for blank in _BLANK.finditer(text, region.start, region.end):
            nearest = bisect_right(starts, blank.start()) - 1
            if nearest < 0 or fences[nearest].end <= blank.start():
                cuts.append(blank.end())
        cuts = sorted({*cuts, *(at for fence in fences for at in (fence.start, fence.end)), region.end})
    else:
        starts = []
        cuts = [region.start, *(end.end() for end in _BLANK.finditer(text, region.start, region.end)), region.end]
    code = set(starts)
    for offset, span in enumerate(_trimmed(text, cuts)):
        coarse, fine = (_lines, _halves) if span.start in code else (_sentences, _lines)
        yield _Block(number + offset, span, coarse, fine, budget)


def _fences(text: str, region: Region, *, tildes: bool) -> list[Span]:
    """Out of Markdown a row of tildes mostly is a ruled line."""
    fences: list[Span] = []
    opened: tuple[int, str] | None = None
    for fence in _FENCE.finditer(text, region.start, region.end):
        mark = fence[1]
        if mark[0] == "~" and not tildes:
            continue
        if opened is None:
            opened = (fence.start(1), mark)
        elif mark.startswith(opened[1]):
            fences.append(Span(opened[0], fence.end()))
            opened = None
    return fences


def _rows(document: Extracted, region: Region, budget: int, number: int) -> Iterator[_Block]:
    """A line is a row, and the head goes with the first one."""
    head_end = region.table.header_end if region.table else 0
    rows = list(_lines(document.text, Span(region.start, region.end)))
    heads = sum(row.start < head_end for row in rows)
    for offset, row in enumerate(rows):
        yield _Block(number + max(0, offset - heads), row, _whole, _cells, budget)


def _whole(text: str, span: Span) -> Iterator[Span]:
    yield span


def _sentences(text: str, span: Span) -> Iterator[Span]:
    return _split(text, span, _SENTENCE_END)


def _lines(text: str, span: Span) -> Iterator[Span]:
    return _split(text, span, _LINE_END)


def _cells(text: str, span: Span) -> Iterator[Span]:
    return _split(text, span, _CELL_END)


def _split(text: str, span: Span, at: re.Pattern[str]) -> Iterator[Span]:
    cuts = [span.start, *(end.end() for end in at.finditer(text, span.start, span.end)), span.end]
    return _trimmed(text, cuts)


def _halves(text: str, span: Span) -> Iterator[Span]:
    """In two, at the space nearest to the middle on its left; through a word if there is none."""
    middle = (span.start + span.end) // 2
    quarter = (span.start + middle) // 2
    space = max(text.rfind(character, quarter, middle) for character in " \n\t")
    return _trimmed(text, [span.start, space if space > span.start else middle, span.end])


def _trimmed(text: str, cuts: Sequence[int]) -> Iterator[Span]:
    for start, end in pairwise(cuts):
        piece = text[start:end]
        inner = piece.strip()
        if inner:
            begin = start + len(piece) - len(piece.lstrip())
            yield Span(begin, begin + len(inner))
