"""The text inside one Word paragraph: runs, links, content controls, formulas; what was deleted stays out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from services.knowledge_base.ingestion.extract.office.drawing import DIAGRAM
from services.knowledge_base.ingestion.extract.office.formula import latex
from services.knowledge_base.ingestion.extract.office.xml import MC, C, Element, M, R
from services.knowledge_base.ingestion.extract.word.xml import W14, W

PAGE_BREAK = W + "lastRenderedPageBreak"
_CHARACTERS = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "ptab": "\t", W + "noBreakHyphen": "-"}
# `Fallback` repeats its `Choice` for old readers; `rt` is the reading printed above a word.
_LEFT_OUT = frozenset(
    {
        *(W + name for name in ("pPr", "rPr", "sdtPr", "del", "moveFrom", "instrText", "rt", "delText")),
        MC + "Fallback",
    }
)
_ON = ("1", "true", "on")
# Letters of symbol fonts that stand for something: check boxes, marks, arrows.
_SYMBOLS = {
    **dict.fromkeys(("F0FE", "F0FD", "F078", "F054", "F053", "F052"), "[x]"),
    **dict.fromkeys(("F0A8", "F06F", "F071", "F0A3", "F030"), "[ ]"),
    **dict.fromkeys(("F0FC", "F050"), "\u2713"),
    "F0E0": "\u2192",
    "F0DF": "\u2190",
    "F0B7": "\u2022",
}


@dataclass(slots=True)
class Inline:
    """A paragraph's text, cut where a new page began, and what hangs on it but stands elsewhere."""

    segments: list[list[str]] = field(default_factory=lambda: [[]])
    boxes: list[Element] = field(default_factory=list[Element])
    charts: list[str] = field(default_factory=list[str])
    diagrams: list[str] = field(default_factory=list[str])
    notes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def has_attachments(self) -> bool:
        return bool(self.boxes or self.charts or self.diagrams or self.notes)

    def text(self) -> Iterator[str]:
        return ("".join(segment) for segment in self.segments)


def read_inline(paragraph: Element) -> Inline:
    inline = Inline()
    _walk(paragraph, inline)
    return inline


def _walk(parent: Element, inline: Inline) -> None:
    for child in parent:
        tag = child.tag
        if tag == W + "t":
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


def _diagram(element: Element, inline: Inline) -> None:
    inline.diagrams.append(element.get(R + "dm", ""))


def _run(element: Element, inline: Inline) -> None:
    hidden = element.find(f"{W}rPr/{W}vanish")
    if hidden is None or hidden.get(W + "val", "1") not in _ON:
        _walk(element, inline)


def _symbol(element: Element, inline: Inline) -> None:
    inline.segments[-1].append(_SYMBOLS.get(element.get(W + "char", "").upper(), ""))


def _formula(element: Element, inline: Inline) -> None:
    text = latex(element)
    inline.segments[-1].append(f"${text}$" if text else "")


def _formula_apart(element: Element, inline: Inline) -> None:
    text = " ".join(filter(None, (latex(formula) for formula in element.findall(M + "oMath"))))
    inline.segments[-1].append(f"$${text}$$" if text else "")


def _control(element: Element, inline: Inline) -> None:
    """A content control; a check box among them is drawn with a letter of some symbol font."""
    checkbox = element.find(f"{W}sdtPr/{W14}checkbox")
    if checkbox is None:
        _walk(element, inline)
        return
    checked = checkbox.find(W14 + "checked")
    _box_of(checked is not None and checked.get(W14 + "val", "") in _ON, inline)


def _form_check_box(element: Element, inline: Inline) -> None:
    """The check box of a form made with an older Word."""
    state = element.find(W + "checked")
    state = element.find(W + "default") if state is None else state
    _box_of(state is not None and state.get(W + "val", "1") in _ON, inline)


def _box_of(checked: bool, inline: Inline) -> None:
    inline.segments[-1].append("[x]" if checked else "[ ]")


_SPECIAL: dict[str, Callable[[Element, Inline], None]] = {
    PAGE_BREAK: _new_page,
    W + "txbxContent": _box,
    C + "chart": _chart,
    W + "footnoteReference": _note("footnote"),
    W + "endnoteReference": _note("endnote"),
    W + "commentReference": _note("comment"),
    W + "r": _run,
    W + "sym": _symbol,
    W + "sdt": _control,
    W + "checkBox": _form_check_box,
    DIAGRAM + "relIds": _diagram,
    M + "oMath": _formula,
    M + "oMathPara": _formula_apart,
}
