"""A page's elements as text: paragraphs, lists, headings, tables. What its readers do not see is left out."""

import re
from dataclasses import dataclass, field

from services.knowledge_base.ingestion.extract.compose import Composer, one_line
from services.knowledge_base.ingestion.extract.html.tables import Layout, read_table
from services.knowledge_base.ingestion.extract.html.tree import Element, walk
from services.knowledge_base.ingestion.extract.html.visible import BLOCKS, is_hidden

_TIGHT = frozenset({"li", "dt", "dd", "option", "summary"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_VERBATIM = frozenset({"pre", "textarea", "listing", "xmp"})
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_SPACES = re.compile(r"[ \t\r\n\f\u00a0]+")
_MANY_SPACES = re.compile(" {2,}")
_AROUND_BREAK = re.compile(r" *\n *")
_LONGEST_HEADING = 500
_DEEPEST_LIST = 20


@dataclass(slots=True)
class _List:
    ordered: bool
    number: int = 0


@dataclass(slots=True)
class Renderer:
    composer: Composer
    # Added to every heading's level.
    deeper: int = 0
    _inline: list[str] = field(default_factory=list[str])
    _lists: list[_List] = field(default_factory=list[_List])
    _marker: str = ""
    _verbatim: int = 0
    _heading: Element | None = None

    def render(self, root: Element) -> None:
        walked = walk(root)
        skipped: Element | None = None
        for event, element in walked:
            if event == "start":
                if is_hidden(element) or self._whole(element):
                    skipped = element
                    walked.skip_subtree()
                else:
                    self._open(element)
                    self._text(element.text)
                continue
            if skipped is element:
                skipped = None
            else:
                self._close(element)
            if element is not root:
                self._text(element.tail)
        self._flush()

    def _whole(self, element: Element) -> bool:
        """Whether it is taken as a whole: a table that is one, an image."""
        tag = element.tag
        if tag == "img":
            self._text(element.get("alt"))
            return True
        if tag != "table" or self._heading is not None:
            return False
        table = read_table(element)
        if isinstance(table, Layout):
            return False
        self._flush()
        if table.caption:
            self._paragraph(table.caption)
        self.composer.table(table.rows, head=table.has_head)
        return True

    def _open(self, element: Element) -> None:
        tag = element.tag
        if tag == "br":
            self._inline.append("\n")
        if self._heading is not None:
            if tag in BLOCKS:
                self._inline.append(" ")
            return
        if tag in BLOCKS:
            self._flush(tight=tag in _TIGHT)
        if tag in _HEADINGS:
            self._heading = element
        elif tag in _LISTS:
            self._lists.append(_List(tag == "ol", _start(element)))
        elif tag == "li":
            self._marker = self._next_marker()
        elif tag in _VERBATIM:
            self._verbatim += 1

    def _close(self, element: Element) -> None:
        tag = element.tag
        if self._heading is not None:
            if self._heading is element:
                self._end_heading(_HEADINGS[tag] + self.deeper)
            elif tag in BLOCKS:
                self._inline.append(" ")
            return
        if tag in BLOCKS:
            self._flush(tight=tag in _TIGHT)
        if tag in _LISTS and self._lists:
            self._lists.pop()
            self._marker = ""
        elif tag == "li":
            self._marker = ""
        elif tag in _VERBATIM:
            self._verbatim -= 1

    def _text(self, text: str | None) -> None:
        if text:
            self._inline.append(text if self._verbatim else _SPACES.sub(" ", text))

    def _end_heading(self, level: int) -> None:
        self._heading = None
        text = one_line("".join(self._inline)).strip()
        if len(text) > _LONGEST_HEADING:  # of a page that forgot to end it
            self._flush()
            return
        self._inline.clear()
        self._marker = ""
        self.composer.heading(level, text)

    def _flush(self, *, tight: bool = False) -> None:
        if not self._inline:
            return
        text = "".join(self._inline)
        self._inline.clear()
        # The line's begin matters where text stands as it was written.
        text = text.strip("\n") if self._verbatim else _AROUND_BREAK.sub("\n", _MANY_SPACES.sub(" ", text)).strip()
        if text.strip():
            self._paragraph(text, tight=tight or bool(self._marker))

    def _paragraph(self, text: str, *, tight: bool = False) -> None:
        self.composer.block(self._marker + text, item=tight)
        self._marker = ""

    def _next_marker(self) -> str:
        if not self._lists:
            return "- "
        current = self._lists[-1]
        current.number += 1
        indent = "  " * min(len(self._lists) - 1, _DEEPEST_LIST)
        return f"{indent}{current.number}. " if current.ordered else f"{indent}- "


def _start(element: Element) -> int:
    start = element.get("start") or ""
    return int(start) - 1 if start.isascii() and start.isdigit() and len(start) < 9 else 0
