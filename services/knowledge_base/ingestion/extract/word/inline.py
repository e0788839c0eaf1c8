"""The text inside one Word paragraph: runs, links, content controls, formulas; what was deleted stays out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from services.knowledge_base.ingestion.extract.word.xml import MC, W14, C, Element, M, R, W

PAGE_BREAK = W + "lastRenderedPageBreak"
_TEXT = frozenset({W + "t", M + "t"})
_CHARACTERS = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "ptab": "\t", W + "noBreakHyphen": "-"}
# `Fallback` repeats its `Choice` for old readers; `rt` is the reading printed above a word.
_LEFT_OUT = frozenset(
    {
        *(W + name for name in ("pPr", "rPr", "sdtPr", "del", "moveFrom", "instrText", "rt", "delText")),
        MC + "Fallback",
    }
)
_SCRIPTS = {M + "sup": "^", M + "sub": "_", M + "den": "/"}


@dataclass(slots=True)
class Inline:
    """A paragraph's text, cut where a new page began, and what hangs on it but stands elsewhere."""

    segments: list[list[str]] = field(default_factory=lambda: [[]])
    boxes: list[Element] = field(default_factory=list[Element])
    charts: list[str] = field(default_factory=list[str])
    notes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def has_attachments(self) -> bool:
        return bool(self.boxes or self.charts or self.notes)

    def text(self) -> Iterator[str]:
        return ("".join(segment) for segment in self.segments)


def read_inline(paragraph: Element) -> Inline:
    inline = Inline()
    _walk(paragraph, inline)
    return inline


def _walk(parent: Element, inline: Inline) -> None:
    for child in parent:
        tag = child.tag
        if tag in _TEXT:
            inline.segments[-1].append(child.text or "")
        elif tag in _CHARACTERS:
            inline.segments[-1].append(_CHARACTERS[tag])
        elif tag in _SPECIAL:
            _SPECIAL[tag](child, inline)
        elif tag not in _LEFT_OUT:
            _walk(child, inline)


def _new_page(_: Element, inline: Inline) -> None:
    inline.segments.append([])


def _box(element: Element, inline: Inline) -> None:
    inline.boxes.append(element)


def _chart(element: Element, inline: Inline) -> None:
    inline.charts.append(element.get(R + "id", ""))


def _note(kind: str) -> Callable[[Element, Inline], None]:
    def remember(element: Element, inline: Inline) -> None:
        inline.notes.append((kind, element.get(W + "id", "")))

    return remember


def _script(element: Element, inline: Inline) -> None:
    """Formulas are written on one line: a/b, a^(b+c), a_b."""
    inside = Inline()
    _walk(element, inside)
    text = "".join(inside.text())
    inline.segments[-1].append(_SCRIPTS[element.tag] + (f"({text})" if len(text) > 1 else text))


def _operator(element: Element, inline: Inline) -> None:
    """A sum, product or integral; Word leaves the integral's sign out."""
    sign = element.find(f"{M}naryPr/{M}chr")
    inline.segments[-1].append("\u222b" if sign is None else sign.get(M + "val", ""))
    _walk(element, inline)


def _function(element: Element, inline: Inline) -> None:
    _walk(element, inline)
    inline.segments[-1].append(" ")


def _control(element: Element, inline: Inline) -> None:
    """A content control; a check box among them is drawn with a letter of some symbol font."""
    checkbox = element.find(f"{W}sdtPr/{W14}checkbox")
    if checkbox is None:
        _walk(element, inline)
        return
    checked = checkbox.find(W14 + "checked")
    on = checked is not None and checked.get(W14 + "val") in ("1", "true", "on")
    inline.segments[-1].append("[x]" if on else "[ ]")


def _brackets(element: Element, inline: Inline) -> None:
    inline.segments[-1].append("(")
    _walk(element, inline)
    inline.segments[-1].append(")")


_SPECIAL: dict[str, Callable[[Element, Inline], None]] = {
    PAGE_BREAK: _new_page,
    W + "txbxContent": _box,
    C + "chart": _chart,
    W + "footnoteReference": _note("footnote"),
    W + "endnoteReference": _note("endnote"),
    M + "d": _brackets,
    M + "nary": _operator,
    M + "fName": _function,
    W + "sdt": _control,
    **dict.fromkeys(_SCRIPTS, _script),
}
