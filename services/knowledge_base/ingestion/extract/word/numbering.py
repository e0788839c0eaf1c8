"""The numbers Word shows before headings and list items. They are computed, not stored: "4.2" is in no file."""

import re
from dataclasses import dataclass, field

from services.knowledge_base.ingestion.extract.office.xml import Element
from services.knowledge_base.ingestion.extract.word.xml import W, value

_PLACE = re.compile(r"%(\d)")
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_LEVELS = 9
_BULLET = "-"


@dataclass(frozen=True, slots=True)
class _Level:
    format: str
    text: str
    start: int


@dataclass(slots=True)
class _List:
    """An abstract list; every list that points to it goes on counting where the other stopped."""

    levels: dict[int, _Level]
    style_levels: dict[str, int]
    counts: list[int | None] = field(default_factory=lambda: [None] * _LEVELS)


class Numbering:
    def __init__(self, root: Element | None) -> None:
        self._lists: dict[str, _List] = {}
        self._starts: dict[str, dict[int, int]] = {}
        self._restarted: set[tuple[str, int]] = set()
        if root is not None:
            self._read(root)

    def level_of_style(self, number: str, style: str) -> int | None:
        """The level that a list ties to a paragraph style."""
        found = self._lists.get(number)
        return found.style_levels.get(style) if found else None

    def next_label(self, number: str, level: int) -> str:
        """Counts one on in list `number`; "" where Word shows nothing."""
        found = self._lists.get(number)
        if found is None or level not in found.levels:
            return ""
        self._count(found, number, level)
        here = found.levels[level]
        if here.format == "bullet":
            return _BULLET
        if here.format == "none":
            return ""
        return _PLACE.sub(lambda place: self._part(found, int(place[1]) - 1), here.text)

    def _count(self, found: _List, number: str, level: int) -> None:
        override = self._starts.get(number, {}).get(level)
        current = found.counts[level]
        if override is not None and (number, level) not in self._restarted:
            self._restarted.add((number, level))
            current = None
        start = found.levels[level].start if override is None else override
        found.counts[level] = start if current is None else current + 1
        found.counts[level + 1 :] = [None] * (_LEVELS - level - 1)

    def _part(self, found: _List, level: int) -> str:
        defined = found.levels.get(level)
        if defined is None:
            return ""
        count = found.counts[level]
        return _numeral(defined.start if count is None else count, defined.format)

    def _read(self, root: Element) -> None:
        abstract = {
            element.get(W + "abstractNumId", ""): _read_list(element) for element in root.findall(W + "abstractNum")
        }
        for number in root.findall(W + "num"):
            identifier = number.get(W + "numId", "")
            found = abstract.get(value(number, W + "abstractNumId"))
            if found is None:
                continue
            self._lists[identifier] = found
            self._starts[identifier] = {
                _integer(override.get(W + "ilvl", ""), 0): _integer(start, 1)
                for override in number.findall(W + "lvlOverride")
                if (start := value(override, W + "startOverride"))
            }


def _read_list(element: Element) -> _List:
    levels: dict[int, _Level] = {}
    styles: dict[str, int] = {}
    for level in element.findall(W + "lvl"):
        index = _integer(level.get(W + "ilvl", ""), 0)
        if not 0 <= index < _LEVELS:
            continue
        levels[index] = _Level(
            value(level, W + "numFmt") or "decimal", value(level, W + "lvlText"), _integer(value(level, W + "start"), 1)
        )
        if style := value(level, W + "pStyle"):
            styles[style] = index
    return _List(levels, styles)


def _integer(text: str, otherwise: int) -> int:
    try:
        return int(text)
    except ValueError:
        return otherwise


def _numeral(count: int, style: str) -> str:
    if style in ("lowerLetter", "upperLetter"):
        letters = chr(ord("a") + (count - 1) % 26) * min((count - 1) // 26 + 1, 10)
        return letters.upper() if style == "upperLetter" else letters
    if style in ("lowerRoman", "upperRoman"):
        return _roman(count).upper() if style == "upperRoman" else _roman(count)
    return f"{count:02}" if style == "decimalZero" else str(count)


def _roman(count: int) -> str:
    if not 0 < count < 5000:
        return str(count)
    text = ""
    for worth, letters in _ROMAN:
        text += letters * (count // worth)
        count %= worth
    return text
