"""Cuts an extracted text into chunks: along its structure first, by size second.

A chunk never mixes two sections unless they are tiny, breaks between paragraphs where it can and between sentences
where it must. Chunks of one section overlap by whole sentences. The same text and policy give the same chunks.
"""

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted

CountTokens = Callable[[Sequence[str]], Sequence[int]]

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,}).*$", re.M)
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026:;])[\"'\u201d\u2019)\]]*\s+|(?<=[\u3002\uff01\uff1f])")
_LINE_END = re.compile(r"\n")
# A tokenizer takes a word of any length for one token, and embeddings of endless words are worth nothing.
_CHARACTERS_PER_TOKEN = 10
# So much text is worked on at a time.
_WINDOW = 200_000
# "### ... ###", a line of "===" and the like.
_HEADING_MARKS = 16
# A section below a quarter of a chunk counts as tiny, and a chunk over half full may end early.
_TINY, _FULL_ENOUGH = 4, 2
# How much of a chunk its headings may take.
_HEADINGS_SHARE = 4


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    max_tokens: int
    overlap_tokens: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text` is exactly what stands at `start` to `end` of the document's text. `page` counts from 1."""

    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    headings: tuple[str, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is never cut further: mostly a sentence. Units of one paragraph share their `block`."""

    start: int
    end: int
    cost: int
    block: int


@dataclass(frozen=True, slots=True)
class _Section:
    """`is_bare` when it has a heading and nothing else."""

    headings: tuple[str, ...]
    units: tuple[_Unit, ...]
    is_bare: bool

    @property
    def cost(self) -> int:
        return sum(unit.cost for unit in self.units)


def chunks(document: Extracted, policy: ChunkPolicy, count_tokens: CountTokens) -> Iterator[Chunk]:
    """Made as they are asked for: memory stays bounded however long the document is."""
    counter = _Counter(document.text, count_tokens)
    ordinal = itertools.count()
    for window in _windows(document):
        for section in _join_tiny(list(_sections(document, window, policy, counter)), policy.max_tokens):
            reserved = min(counter.cost_of(" > ".join(section.headings)), policy.max_tokens // _HEADINGS_SHARE)
            for units in _pack(section.units, policy.max_tokens - reserved, policy.overlap_tokens):
                yield _chunk(document, next(ordinal), section.headings, units)


def _chunk(document: Extracted, ordinal: int, headings: tuple[str, ...], units: Sequence[_Unit]) -> Chunk:
    start, end = units[0].start, units[-1].end
    return Chunk(
        ordinal=ordinal,
        text=document.text[start:end],
        start=start,
        end=end,
        page=bisect_right(document.pages, start) or None,
        headings=headings,
        tokens=sum(unit.cost for unit in units),
    )


class _Counter:
    def __init__(self, text: str, count_tokens: CountTokens) -> None:
        self._text = text
        self._count = count_tokens

    def cost_of(self, text: str) -> int:
        return self._count([text])[0] if text else 0

    def costs(self, spans: Sequence[_Span], enough: int) -> list[int]:
        """What each span costs; `enough` or more for those whose length alone says that they cost more."""
        floors = [-(-(span.end - span.start) // _CHARACTERS_PER_TOKEN) for span in spans]
        short = [self._text[span.start : span.end] for span, floor in zip(spans, floors, strict=True) if floor < enough]
        counts = iter(self._count(short))
        return [floor if floor >= enough else max(floor, next(counts)) for floor in floors]


_Titled = tuple[tuple[str, ...], _Span]


def _windows(document: Extracted) -> Iterator[list[_Titled]]:
    window: list[_Titled] = []
    for titled in _section_spans(document):
        window.append(titled)
        if titled[1].end - window[0][1].start >= _WINDOW:
            yield window
            window = []
    yield window


def _section_spans(document: Extracted) -> Iterator[_Titled]:
    path: list[tuple[int, str]] = []
    start = 0
    for heading in document.headings:
        yield from _bounded(document.text, tuple(title for _, title in path), _Span(start, heading.start))
        while path and path[-1][0] >= heading.level:
            path.pop()
        path.append((heading.level, heading.title))
        start = heading.start
    yield from _bounded(document.text, tuple(title for _, title in path), _Span(start, len(document.text)))


def _bounded(text: str, headings: tuple[str, ...], span: _Span) -> Iterator[_Titled]:
    start = span.start
    while span.end - start > _WINDOW:
        middle, limit = start + _WINDOW // 2, start + _WINDOW
        cut = next((at for mark in ("\n\n", "\n", " ") if (at := text.rfind(mark, middle, limit)) > 0), limit)
        yield headings, _Span(start, cut)
        start = cut
    yield headings, _Span(start, span.end)


def _sections(
    document: Extracted, window: Sequence[_Titled], policy: ChunkPolicy, counter: _Counter
) -> Iterator[_Section]:
    budget = policy.max_tokens - policy.max_tokens // _HEADINGS_SHARE
    # The blocks of all its sections at once: counting tokens in large batches is many times faster.
    blocks = [block for _, span in window for block in _blocks(document, span)]
    units = _units(document.text, blocks, budget, counter)
    position = 0
    for headings, span in window:
        first = position
        while position < len(units) and units[position].start < span.end:
            position += 1
        if position > first:
            text = document.text[span.start : units[position - 1].end]
            yield _Section(headings, tuple(units[first:position]), bool(headings) and _is_bare(text, headings[-1]))


def _is_bare(text: str, title: str) -> bool:
    return len(text) <= len(title) + _HEADING_MARKS and not text.partition("\n")[2].strip("=- \n")


def _blocks(document: Extracted, span: _Span) -> Iterator[_Span]:
    """Paragraphs, which blank lines part; in Markdown a fenced block is one paragraph whatever it holds."""
    cuts = [span.start]
    fences = _fences(document.text, span) if document.format is DocumentFormat.MARKDOWN else []
    starts = [fence.start for fence in fences]
    for blank in _BLANK.finditer(document.text, span.start, span.end):
        nearest = bisect_right(starts, blank.start()) - 1
        if nearest < 0 or fences[nearest].end < blank.start():
            cuts.append(blank.end())
    yield from _trimmed(document.text, [*cuts, span.end])


def _fences(text: str, span: _Span) -> list[_Span]:
    marks = [(mark.start(), mark.end(), mark[1]) for mark in _FENCE.finditer(text, span.start, span.end)]
    fences: list[_Span] = []
    opened: tuple[int, str] | None = None
    for start, end, mark in marks:
        if opened is None:
            opened = (start, mark)
        elif mark.startswith(opened[1]):
            fences.append(_Span(opened[0], end))
            opened = None
    return fences


def _trimmed(text: str, cuts: Sequence[int]) -> Iterator[_Span]:
    for start, end in pairwise(cuts):
        piece = text[start:end]
        inner = piece.strip()
        if inner:
            begin = start + len(piece) - len(piece.lstrip())
            yield _Span(begin, begin + len(inner))


def _units(text: str, blocks: Sequence[_Span], budget: int, counter: _Counter) -> list[_Unit]:
    """Sentences; of those too long for a chunk their lines; of those too long halves, and halves of halves."""
    done: list[_Unit] = []
    todo = [(number, span) for number, block in enumerate(blocks) for span in _split(text, block, _SENTENCE_END)]
    for cut in (_lines, _halves):
        todo = _measure(todo, budget, counter, done)
        todo = [(number, piece) for number, span in todo for piece in cut(text, span)]
    while todo:
        todo = _measure(todo, budget, counter, done)
        todo = [(number, piece) for number, span in todo for piece in _halves(text, span)]
    return sorted(done, key=lambda unit: unit.start)


def _measure(
    todo: Sequence[tuple[int, _Span]], budget: int, counter: _Counter, done: list[_Unit]
) -> list[tuple[int, _Span]]:
    """Moves what fits to `done`; returns what is still too large."""
    too_large: list[tuple[int, _Span]] = []
    for (number, span), cost in zip(todo, counter.costs([span for _, span in todo], budget + 1), strict=True):
        if cost <= budget or span.end - span.start == 1:
            done.append(_Unit(span.start, span.end, min(cost, budget), number))
        else:
            too_large.append((number, span))
    return too_large


def _split(text: str, span: _Span, at: re.Pattern[str]) -> Iterator[_Span]:
    cuts = [span.start, *(end.end() for end in at.finditer(text, span.start, span.end)), span.end]
    return _trimmed(text, cuts)


def _lines(text: str, span: _Span) -> Iterator[_Span]:
    return _split(text, span, _LINE_END)


def _halves(text: str, span: _Span) -> Iterator[_Span]:
    """In two, at the space nearest to the middle on its left; through a word if there is none."""
    middle = (span.start + span.end) // 2
    quarter = (span.start + middle) // 2
    space = max(text.rfind(character, quarter, middle) for character in " \n\t")
    return _trimmed(text, [span.start, space if space > span.start else middle, span.end])


def _join_tiny(sections: Sequence[_Section], max_tokens: int) -> list[_Section]:
    """A heading with no text of its own, and a line or two before the first subsection, go with what follows."""
    joined: list[_Section] = []
    for section in sections:
        last = joined[-1] if joined else None
        if last and _leads_to(last, section, max_tokens) and last.cost + section.cost <= max_tokens - max_tokens // 4:
            headings = section.headings if last.is_bare else last.headings
            joined[-1] = _Section(headings, last.units + section.units, last.is_bare and section.is_bare)
        else:
            joined.append(section)
    return joined


def _leads_to(section: _Section, following: _Section, max_tokens: int) -> bool:
    is_inside = following.headings[: len(section.headings)] == section.headings
    return section.is_bare or (is_inside and section.cost < max_tokens // _TINY)


def _pack(units: Sequence[_Unit], budget: int, overlap: int) -> Iterator[list[_Unit]]:
    block_costs: dict[int, int] = {}
    for unit in units:
        block_costs[unit.block] = block_costs.get(unit.block, 0) + unit.cost
    current: list[_Unit] = []
    filled = 0
    for previous, unit in zip([None, *units], units, strict=False):
        starts_block = previous is None or previous.block != unit.block
        needed = block_costs[unit.block] if starts_block and filled > budget // _FULL_ENOUGH else unit.cost
        if current and filled + needed > budget and (needed <= budget or filled + unit.cost > budget):
            yield current
            current = _tail(current, min(overlap, budget - unit.cost))
            filled = sum(one.cost for one in current)
        current.append(unit)
        filled += unit.cost
    if current:
        yield current


def _tail(units: Sequence[_Unit], tokens: int) -> list[_Unit]:
    """The last whole sentences that make up at most so many tokens."""
    tail: list[_Unit] = []
    for unit in reversed(units):
        tokens -= unit.cost
        if tokens < 0:
            break
        tail.insert(0, unit)
    return tail if len(tail) < len(units) else tail[1:]
