"""What a paragraph is by its style: a heading, an item of a numbered list, or plain text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.knowledge_base.ingestion.extract.office.xml import Element
from services.knowledge_base.ingestion.extract.word.xml import W, value

_HEADING_NAME = re.compile(r"heading (\d)$", re.I)
_TITLE_LEVEL = 0
_BODY_TEXT_LEVEL = 9
_DEEPEST_LIST_LEVEL = 8
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """`heading` is 1 and up, 0 for the document's title. `number` is the list's id, "" outside lists."""

    name: str = ""
    heading: int | None = None
    number: str = ""
    list_level: int | None = None


_PLAIN = ParagraphStyle()


class Styles:
    def __init__(self, root: Element | None) -> None:
        styles = [] if root is None else root.findall(W + "style")
        self._by_id = {style.get(W + "styleId", ""): style for style in styles}
        self._inherited: dict[str, ParagraphStyle] = {}

    def of(self, paragraph: Element) -> ParagraphStyle:
        properties = paragraph.find(W + "pPr")
        if properties is None:
            return _PLAIN
        name = value(properties, W + "pStyle")
        inherited = self._inherited.get(name)
        if inherited is None:
            inherited = self._inherited[name] = self._resolve(name)
        return _merge(properties, inherited)

    def _resolve(self, name: str) -> ParagraphStyle:
        """From the style's furthest ancestor down, each overriding what it sets itself."""
        style = ParagraphStyle(name)
        for element in reversed(list(self._chain(name))):
            heading = _heading_by_name(value(element, W + "name"))
            style = style if heading is None else replace(style, heading=heading)
            properties = element.find(W + "pPr")
            style = style if properties is None else _merge(properties, style)
        return style

    def _chain(self, name: str) -> Iterator[Element]:
        for _ in range(_DEPTH):
            style = self._by_id.get(name)
            if style is None:
                return
            yield style
            name = value(style, W + "basedOn")


def _heading_by_name(name: str) -> int | None:
    if match := _HEADING_NAME.match(name):
        return int(match[1])
    return _TITLE_LEVEL if name.lower() == "title" else None


def _merge(properties: Element, style: ParagraphStyle) -> ParagraphStyle:
    outline = value(properties, W + "outlineLvl")
    if outline.isdigit():
        style = replace(style, heading=int(outline) + 1 if int(outline) < _BODY_TEXT_LEVEL else None)
    numbering = properties.find(W + "numPr")
    if numbering is None:
        return style
    number = numbering.find(W + "numId")
    level = value(numbering, W + "ilvl")
    if number is not None:
        identifier = number.get(W + "val", "")
        style = replace(style, number="" if identifier == "0" else identifier)
    if level.isdigit():
        style = replace(style, list_level=min(int(level), _DEEPEST_LIST_LEVEL))
    return style
