"""Cuts an extracted text into chunks: along its structure first, by size second.

A chunk never mixes two sections unless they are tiny, nor two parts of a document ever; it breaks between paragraphs
where it can and between sentences where it must. Chunks of one section overlap by whole sentences. Slides stay whole
where they fit, and tables are cut between rows. The same text and policy give the same chunks.
"""

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from services.knowledge_base.ingestion.cutting.regions import Home, Region, windows
from services.knowledge_base.ingestion.cutting.units import Counter, CountTokens, Unit, units
from services.knowledge_base.ingestion.extract.model import Extracted, Table

# "### ... ###", a line of "===" and the like.
_HEADING_MARKS = 16
# A section or table below a quarter of a chunk counts as tiny, and a chunk over half full may end early.
_TINY, _FULL_ENOUGH = 4, 2
# How much of a chunk its headings, and the head of its table, may take.
_HEADINGS_SHARE, _HEADER_SHARE = 4, 3


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    max_tokens: int
    overlap_tokens: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text` is exactly what stands at `start` to `end` of the document's text. `page` counts from 1. `part` is the
    attachment it stands in. `table_header` is the head of the table that it is a later part of; `tokens` counts it."""

    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    headings: tuple[str, ...]
    tokens: int
    part: str | None = None
    table_header: str | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    """The head of a table as it is repeated. What begins before `end` has it already."""

    text: str
    cost: int
    end: int


@dataclass(frozen=True, slots=True)
class _Section:
    """`is_bare` when it has a heading and nothing else; `cost` is that of its units."""

    home: Home
    units: tuple[Unit, ...]
    cost: int
    reserved: int
    is_bare: bool = False
    is_table: bool = False
    header: _Header | None = None


def chunks(document: Extracted, policy: ChunkPolicy, count_tokens: CountTokens) -> Iterator[Chunk]:
    """Made as they are asked for: memory stays bounded however long the document is."""
    counter = Counter(document.text, count_tokens)
    ordinal = itertools.count()
    for window in windows(document):
        sections = _whole_slides(list(_sections(document, window, policy.max_tokens, counter)), policy.max_tokens)
        for section in _join_tiny(sections, policy.max_tokens):
            budget = policy.max_tokens - section.reserved - (section.header.cost if section.header else 0)
            overlap = 0 if section.is_table else policy.overlap_tokens
            for packed in _pack(section.units, budget, overlap):
                yield _chunk(document, next(ordinal), section, packed)


def _chunk(document: Extracted, ordinal: int, section: _Section, packed: Sequence[Unit]) -> Chunk:
    start, end = packed[0].start, packed[-1].end
    header = section.header if section.header and start >= section.header.end else None
    return Chunk(
        ordinal=ordinal,
        text=document.text[start:end],
        start=start,
        end=end,
        page=bisect_right(document.pages, start) or None,
        headings=section.home.headings,
        tokens=sum(unit.cost for unit in packed) + (header.cost if header else 0),
        part=section.home.part,
        table_header=header.text if header else None,
    )


def _sections(document: Extracted, window: Sequence[Region], max_tokens: int, counter: Counter) -> Iterator[_Section]:
    paths = [" > ".join(region.home.headings) for region in window]
    heads = [_header_text(document.text, region.table) for region in window]
    costs = counter.of([*paths, *heads])
    reserved = [min(costs[path], max_tokens // _HEADINGS_SHARE) for path in paths]
    headers = [
        _Header(head, costs[head], region.table.header_end)
        if region.table and head and costs[head] <= max_tokens // _HEADER_SHARE
        else None
        for head, region in zip(heads, window, strict=True)
    ]
    # A heading that goes with what follows takes its path along, so this much is left to every unit.
    left = max_tokens - max_tokens // _HEADINGS_SHARE
    budgets = [left - (header.cost if header else 0) for header in headers]
    found = units(document, window, budgets, counter)
    position = 0
    for region, cost, header in zip(window, reserved, headers, strict=True):
        first = position
        while position < len(found) and found[position].start < region.end:
            position += 1
        if position > first:
            yield _section(document.text, region, found[first:position], cost, header)


def _header_text(text: str, table: Table | None) -> str:
    """Without the line of dashes, which says nothing and costs much."""
    lines = text[table.start : table.header_end].split("\n") if table else ()
    return "\n".join(line for line in lines if line.strip("|-: \t"))


def _section(text: str, region: Region, found: Sequence[Unit], reserved: int, header: _Header | None) -> _Section:
    title = region.home.headings[-1] if region.home.headings and not region.table else None
    return _Section(
        home=region.home,
        units=tuple(found),
        cost=sum(unit.cost for unit in found),
        reserved=reserved,
        is_bare=title is not None and _is_bare(text[region.start : found[-1].end].strip(), title),
        is_table=region.table is not None,
        header=header,
    )


def _is_bare(text: str, title: str) -> bool:
    return len(text) <= len(title) + _HEADING_MARKS and not text.partition("\n")[2].strip("=- \n")


def _whole_slides(sections: Sequence[_Section], max_tokens: int) -> list[_Section]:
    whole: list[_Section] = []
    for (part, slide), group in itertools.groupby(sections, key=lambda one: (one.home.part, one.home.slide)):
        on_slide = list(group)
        first = on_slide[0]
        cost = sum(section.cost for section in on_slide)
        if slide is not None and len(on_slide) > 1 and cost <= max_tokens - first.reserved:
            flat = tuple(unit for section in on_slide for unit in section.units)
            home = Home(_shared([section.home.headings for section in on_slide]), part, slide)
            whole.append(_Section(home, flat, cost, first.reserved))
        else:
            whole.extend(on_slide)
    return whole


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The path of the first, when the others are within it; else the longest that all have."""
    alike = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))
    return tuple(level[0] for level in alike)


def _join_tiny(sections: Sequence[_Section], max_tokens: int) -> list[_Section]:
    """A heading with no text of its own, and a line or two before a subsection or a table, go with what follows; a
    tiny table goes with the text around it."""
    joined: list[_Section] = []
    for one in sections:
        section = _as_prose(one) if one.is_table and one.cost < max_tokens // _TINY else one
        last = joined[-1] if joined else None
        if last and _goes_on(last, section):
            joined[-1] = _together(last, section)
        elif last and _leads_to(last, section, max_tokens):
            joined[-1] = replace(
                _together(last, section),
                home=section.home if last.is_bare else last.home,
                reserved=max(last.reserved, section.reserved),
            )
        else:
            joined.append(section)
    return joined


def _as_prose(table: _Section) -> _Section:
    """A tiny table: one unit, so that nothing cuts it."""
    first, last = table.units[0], table.units[-1]
    return replace(table, units=(Unit(first.start, last.end, table.cost, first.block),), is_table=False, header=None)


def _goes_on(last: _Section, section: _Section) -> bool:
    """The same text before and after a tiny table."""
    return last.home == section.home and not last.is_table and not section.is_table and not last.is_bare


def _leads_to(last: _Section, section: _Section, max_tokens: int) -> bool:
    if last.home.part != section.home.part or last.is_table:
        return False
    if last.is_bare:
        return True
    if last.home.slide != section.home.slide or last.cost >= max_tokens // _TINY:
        return False
    if section.is_table:
        return last.home == section.home
    is_inside = section.home.headings[: len(last.home.headings)] == last.home.headings
    return is_inside and last.cost + section.cost <= max_tokens - max_tokens // _TINY


def _together(last: _Section, section: _Section) -> _Section:
    return _Section(
        home=last.home,
        units=last.units + section.units,
        cost=last.cost + section.cost,
        reserved=last.reserved,
        is_bare=last.is_bare and section.is_bare,
        is_table=section.is_table,
        header=section.header,
    )


def _pack(found: Sequence[Unit], budget: int, overlap: int) -> Iterator[list[Unit]]:
    block_costs: dict[int, int] = {}
    for unit in found:
        block_costs[unit.block] = block_costs.get(unit.block, 0) + unit.cost
    current: list[Unit] = []
    filled = 0
    for previous, unit in zip([None, *found], found, strict=False):
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


def _tail(packed: Sequence[Unit], tokens: int) -> list[Unit]:
    """The last whole sentences that make up at most so many tokens."""
    tail: list[Unit] = []
    for unit in reversed(packed):
        tokens -= unit.cost
        if tokens < 0:
            break
        tail.insert(0, unit)
    return tail if len(tail) < len(packed) else tail[1:]
