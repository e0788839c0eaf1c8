"""Where the structure of a document cuts its text, whatever the sizes: at headings, tables, slides and attachments."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted, Heading, Table

# So much text is worked on at a time.
WINDOW = 200_000
_SLIDES = frozenset({DocumentFormat.PPTX, DocumentFormat.ODP})


@dataclass(frozen=True, slots=True)
class Home:
    """Where in a document something stands."""

    headings: tuple[str, ...] = ()
    part: str | None = None
    slide: int | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of text with one home. Either prose, or of the one table that it is all or a part of."""

    start: int
    end: int
    home: Home
    table: Table | None = None


def windows(document: Extracted) -> Iterator[list[Region]]:
    """All regions in order, so many at a time that memory stays bounded however long the document is."""
    window: list[Region] = []
    for region in _regions(document):
        for piece in _bounded(document.text, region):
            window.append(piece)
            if piece.end - window[0].start >= WINDOW:
                yield window
                window = []
    yield window


def _regions(document: Extracted) -> Iterator[Region]:
    end = len(document.text)
    tables = _apart(document.tables, end)
    slides = document.pages if document.format in _SLIDES else ()
    headings = {heading.start: heading for heading in document.headings}
    parts = {part.start: part.name for part in document.parts}
    borders = {0, *headings, *parts, *slides, *(at for table in tables for at in (table.start, table.end))}
    path: list[Heading] = []
    home = Home()
    number = 0
    for start, following in pairwise([*sorted(at for at in borders if 0 <= at < end), end]):
        if start in parts:
            path.clear()
            home = replace(home, headings=(), part=parts[start])
        if start in headings:
            _descend(path, headings[start])
            home = replace(home, headings=tuple(heading.title for heading in path))
        if slides and (slide := bisect_right(slides, start)) != home.slide:
            home = replace(home, slide=slide)
        while number < len(tables) and tables[number].end <= start:
            number += 1
        inside = number < len(tables) and tables[number].start <= start
        yield Region(start, following, home, tables[number] if inside else None)


def _apart(tables: tuple[Table, ...], end: int) -> list[Table]:
    """In order; of two that overlap the first."""
    apart: list[Table] = []
    for table in sorted(tables, key=lambda table: table.start):
        if (apart[-1].end if apart else 0) <= table.start < table.end <= end:
            apart.append(table)
    return apart


def _descend(path: list[Heading], heading: Heading) -> None:
    while path and path[-1].level >= heading.level:
        path.pop()
    path.append(heading)


def _bounded(text: str, region: Region) -> Iterator[Region]:
    start = region.start
    marks = ("\n",) if region.table else ("\n\n", "\n", " ")
    while region.end - start > WINDOW:
        middle, limit = start + WINDOW // 2, start + WINDOW
        cut = next((at for mark in marks if (at := text.rfind(mark, middle, limit)) > 0), limit)
        yield replace(region, start=start, end=cut)
        start = cut
    yield replace(region, start=start)
