r"""Office's formulas as LaTeX: \frac{a}{b} is read by people and models alike, and keeps what a line loses."""

from collections.abc import Callable, Iterator, Mapping

from services.knowledge_base.ingestion.extract.office.symbols import ACCENTS, BRACKETS, FUNCTIONS, OPERATORS, WRITTEN
from services.knowledge_base.ingestion.extract.office.xml import Element, M

_VALUE = M + "val"


def latex(formula: Element) -> str:
    return " ".join(_inside(formula).split())


def _inside(parent: Element | None) -> str:
    return "" if parent is None else "".join(_written(child) for child in parent)


def _written(element: Element) -> str:
    if element.tag == M + "t":
        return (element.text or "").translate(WRITTEN)
    write = _WRITERS.get(element.tag)
    if write is not None:
        return write(element)
    return "" if element.tag.endswith("Pr") else _inside(element)


def _part(element: Element, name: str) -> str:
    return _inside(element.find(M + name)).strip()


def _property(element: Element, name: str, otherwise: str) -> str:
    """A property that is there and empty says that there is nothing."""
    found = element.find(f"{M}{element.tag.removeprefix(M)}Pr/{M}{name}")
    return otherwise if found is None else found.get(_VALUE, "")


def _base(element: Element) -> str:
    """What carries an exponent or an index; a fraction needs braces to carry it whole."""
    base = element.find(M + "e")
    text = _part(element, "e")
    return f"{{{text}}}" if base is not None and any(child.tag in (M + "f", M + "d") for child in base) else text


def _fraction(element: Element) -> str:
    above, below = _part(element, "num"), _part(element, "den")
    kind = _property(element, "type", "bar")
    if kind in ("lin", "skw"):
        return f"{above}/{below}"
    return f"\\genfrac{{}}{{}}{{0pt}}{{}}{{{above}}}{{{below}}}" if kind == "noBar" else f"\\frac{{{above}}}{{{below}}}"


def _scripts(*names: str) -> Callable[[Element], str]:
    return lambda element: _base(element) + "".join(_script(element, name) for name in names)


def _script(element: Element, name: str) -> str:
    text = _part(element, name)
    return f"{'^' if name == 'sup' else '_'}{{{text}}}" if text else ""


def _scripts_before(element: Element) -> str:
    return f"{{}}{_script(element, 'sub')}{_script(element, 'sup')}{_part(element, 'e')}"


def _root(element: Element) -> str:
    degree = _part(element, "deg")
    return f"\\sqrt{f'[{degree}]' if degree else ''}{{{_part(element, 'e')}}}"


def _operator(element: Element) -> str:
    """A sum, product or integral; Word leaves the integral's sign out."""
    sign = _property(element, "chr", "∫")
    name = f"\\{OPERATORS[sign]}" if sign in OPERATORS else sign.translate(WRITTEN)
    return f"{name}{_script(element, 'sub')}{_script(element, 'sup')} {_part(element, 'e')}"


def _brackets(element: Element) -> str:
    opening, closing = _property(element, "begChr", "("), _property(element, "endChr", ")")
    between = _property(element, "sepChr", "|")
    inside = f" {between} ".join(_inside(part).strip() for part in element.findall(M + "e"))
    return f"\\left{BRACKETS.get(opening, opening)}{inside}\\right{BRACKETS.get(closing, closing)}"


def _function(element: Element) -> str:
    name = element.find(M + "fName")
    written = "" if name is None else _function_name(name)
    return f"{written}{{{_part(element, 'e')}}}" if "\\" in written else f"{written} {_part(element, 'e')}"


def _function_name(element: Element) -> str:
    return "".join(_named(child) for child in element)


def _named(element: Element) -> str:
    if element.tag == M + "r":
        name = _inside(element).strip()
        if name in FUNCTIONS:
            return f"\\{name} "
        return f"\\operatorname{{{name}}}" if name.isalpha() and len(name) > 1 else name
    if element.tag in (M + "limLow", M + "limUpp", M + "sSub", M + "sSup"):
        mark, script = ("_", "lim") if element.tag == M + "limLow" else ("^", "lim")
        if element.tag in (M + "sSub", M + "sSup"):
            mark, script = ("_", "sub") if element.tag == M + "sSub" else ("^", "sup")
        base = element.find(M + "e")
        name = "" if base is None else _function_name(base).strip()
        return f"{name}{mark}{{{_part(element, script)}}}"
    return _written(element)


def _limit(mark: str) -> Callable[[Element], str]:
    def write(element: Element) -> str:
        base = _part(element, "e")
        stacked = base.startswith(("\\underbrace", "\\overbrace", "\\sum", "\\int", "\\prod"))
        if stacked:
            return f"{base}{mark}{{{_part(element, 'lim')}}}"
        return f"\\{'underset' if mark == '_' else 'overset'}{{{_part(element, 'lim')}}}{{{base}}}"

    return write


def _grouped(element: Element) -> str:
    name = "overbrace" if _property(element, "pos", "bot") == "top" else "underbrace"
    return f"\\{name}{{{_part(element, 'e')}}}"


def _accent(element: Element) -> str:
    name = ACCENTS.get(_property(element, "chr", "\u0302"), "hat")
    return f"\\{name}{{{_part(element, 'e')}}}"


def _bar(element: Element) -> str:
    return f"\\{'overline' if _property(element, 'pos', 'bot') == 'top' else 'underline'}{{{_part(element, 'e')}}}"


def _rows(rows: Iterator[str], kind: str) -> str:
    lines = list(rows)
    if len(lines) == 1 and kind == "aligned":
        return lines[0]
    return f"\\begin{{{kind}}} " + " \\\\ ".join(lines) + f" \\end{{{kind}}}"


def _equations(element: Element) -> str:
    return _rows((_inside(line).strip() for line in element.findall(M + "e")), "aligned")


def _matrix(element: Element) -> str:
    rows = (" & ".join(_inside(cell).strip() for cell in row.findall(M + "e")) for row in element.findall(M + "mr"))
    return _rows(rows, "matrix")


_WRITERS: Mapping[str, Callable[[Element], str]] = {
    M + name: write
    for name, write in {
        "f": _fraction,
        "sSup": _scripts("sup"),
        "sSub": _scripts("sub"),
        "sSubSup": _scripts("sub", "sup"),
        "sPre": _scripts_before,
        "rad": _root,
        "nary": _operator,
        "d": _brackets,
        "func": _function,
        "limLow": _limit("_"),
        "limUpp": _limit("^"),
        "groupChr": _grouped,
        "acc": _accent,
        "bar": _bar,
        "eqArr": _equations,
        "m": _matrix,
    }.items()
}
