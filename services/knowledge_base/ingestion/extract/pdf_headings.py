"""Headings of a PDF without an outline: short lines in larger type than the text, and numbered ones in bold."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from services.knowledge_base.ingestion.extract.pdfium import PdfPage

_LONGEST = 150
_LARGER = 1.15
_LARGER_BOLD = 1.04
_LARGEST = 8.0
_LEVELS = 3
_SHARE = 0.25
_OFTEN = 3
_WORD = re.compile(r"[^\W\d_]{2}")
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+[^\W\d_a-z]")
_NO_END = re.compile(r"[.,;:!]$")
_DIGITS = re.compile(r"\d+")
_LINE = re.compile(r"[^\r\n]+")
_MERGED = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One that may be a heading. `after` says that it stands right below the one before."""

    page: int
    text: str
    height: float
    bold: bool
    number: int


class HeadingFinder:
    """Takes in page after page, then tells which lines are headings."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._letters: Counter[float] = Counter()
        self._pages = 0
        self._count = 0

    def add(self, number: int, page: PdfPage) -> None:
        self._pages += 1
        for found in _LINE.finditer(page.indexed):
            line = found[0].strip()
            if not line:
                continue
            self._count += 1
            start = found.start() + len(found[0]) - len(found[0].lstrip())
            height, bold = page.letter(start)
            self._letters[height] += len(line)
            if len(line) <= _LONGEST and _WORD.search(line) and "@" not in line and _is_worded(line):
                self._lines.append(Line(number, line, height, bold, self._count))

    def found(self) -> Iterator[tuple[int, Line]]:
        """With their levels from 1."""
        body = self._letters.most_common(1)[0][0] if self._letters else 0.0
        if not body:
            return
        repeated = self._repeated()
        larger = [
            line
            for line in self._lines
            if body * (_LARGER_BOLD if line.bold else _LARGER) <= line.height <= body * _LARGEST
            and _plain(line.text) not in repeated
        ]
        if len(larger) > max(_SHARE * self._count, self._pages * 2):
            larger = []
        headings = list(_merged(larger))
        sizes = sorted({line.height for line in headings}, reverse=True)
        levels = {size: min(place, _LEVELS) for place, size in enumerate(sizes, 1)}
        deepest = max(levels.values(), default=0)
        numbered = self._numbered(body, repeated)
        for line in sorted((*headings, *numbered), key=lambda line: line.number):
            if line.height in levels:
                yield levels[line.height], line
            else:
                yield min(deepest, 1) + line.text.split()[0].strip(".").count(".") + 1, line

    def _numbered(self, body: float, repeated: frozenset[str]) -> list[Line]:
        return [
            line
            for line in self._lines
            if line.bold
            and line.height < body * _LARGER_BOLD
            and _NUMBERED.match(line.text)
            and not _NO_END.search(line.text)
            and _plain(line.text) not in repeated
        ]

    def _repeated(self) -> frozenset[str]:
        """What stands on many pages is no heading but runs above or below them."""
        counts = Counter({(line.page, _plain(line.text)) for line in self._lines})
        pages = Counter(text for _, text in counts)
        return frozenset(text for text, number in pages.items() if number > max(_OFTEN, self._pages * 0.2))


def _is_worded(line: str) -> bool:
    return sum(map(str.isalpha, line)) * 2 > sum(not letter.isspace() for letter in line)


def _plain(text: str) -> str:
    return _DIGITS.sub("0", text)


def _merged(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines of one size right below each other are one heading, unless they are so many that they are a text."""
    keys = ((line.page, line.height, line.number - place) for place, line in enumerate(lines))
    for _, group in groupby(zip(keys, lines, strict=True), key=lambda pair: pair[0]):
        block = [line for _, line in group]
        if len(block) <= _MERGED:
            yield replace(block[0], text="\n".join(line.text for line in block))
