"""Text as slides and drawings hold it: paragraphs, their bullets and numbers, tables, diagrams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import one_line
from services.knowledge_base.ingestion.extract.office.formula import latex
from services.knowledge_base.ingestion.extract.office.xml import MC, A, Element, M, local

DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_INDENT = "  "
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    item: bool = False


@dataclass(slots=True)
class _Numbers:
    """The next number of each level of a numbered list."""

    by_level: dict[int, int] = field(default_factory=dict[int, int])

    def label(self, level: int, start: int) -> str:
        for deeper in [known for known in self.by_level if known > level]:
            del self.by_level[deeper]
        self.by_level[level] = self.by_level.get(level, start - 1) + 1
        return f"{self.by_level[level]}."


def read_lines(body: Element, *, bullets: bool) -> Iterator[Line]:
    """The paragraphs of a text body. `bullets` says that they have some unless they say otherwise."""
    numbers = _Numbers()
    for paragraph in body.findall(A + "p"):
        text = paragraph_text(paragraph)
        if not text.strip():
            continue
        level, label = _bullet(paragraph, numbers, bullets)
        if not label:
            numbers.by_level.clear()
        yield Line(f"{_INDENT * level}{label} {text.strip()}" if label else text.strip(), bool(label))


def paragraph_text(paragraph: Element) -> str:
    return clean("".join(_pieces(paragraph)))


def table_rows(table: Element) -> list[list[str]]:
    return [[_cell(cell) for cell in row.findall(A + "tc")] for row in table.findall(A + "tr")]


def diagram_lines(root: Element) -> Iterator[str]:
    for point in root.iter(DIAGRAM + "pt"):
        for body in point.findall(DIAGRAM + "t"):
            yield from (line.text for line in read_lines(body, bullets=False))


def choices(parent: Element) -> Iterator[Element]:
    """The children; of what is there in several versions, one."""
    for child in parent:
        if child.tag != MC + "AlternateContent":
            yield child
            continue
        versions = [version for version in child if len(list(version))]
        yield from choices(_with_text(versions)) if versions else ()


def _with_text(versions: Sequence[Element]) -> Element:
    return next((version for version in versions if any(_has_text(part) for part in version.iter())), versions[0])


def _has_text(element: Element) -> bool:
    return local(element.tag) in ("t", "graphicData")  # a chart has no text of its own


def _pieces(parent: Element) -> Iterator[str]:
    for child in choices(parent):
        if child.tag == A + "t":
            yield child.text or ""
        elif child.tag == M + "oMath":
            yield f"${latex(child)}$"
        elif child.tag == A + "br":
            yield "\n"
        elif child.tag not in (A + "pPr", A + "rPr", A + "endParaRPr"):
            yield from _pieces(child)


def _cell(cell: Element) -> str:
    body = cell.find(A + "txBody")
    return "" if body is None else one_line(" ".join(map(paragraph_text, body.findall(A + "p")))).strip()


def _bullet(paragraph: Element, numbers: _Numbers, bullets: bool) -> tuple[int, str]:
    properties = paragraph.find(A + "pPr")
    if properties is None:
        return 0, "-" if bullets else ""
    depth = properties.get("lvl", "")
    level = min(int(depth), _DEEPEST) if depth.isdecimal() else 0
    numbered = properties.find(A + "buAutoNum")
    if numbered is not None:
        start = numbered.get("startAt", "")
        return level, numbers.label(level, int(start) if start.isdecimal() else 1)
    if properties.find(A + "buNone") is not None:
        return level, ""
    marked = properties.find(A + "buChar") is not None or properties.find(A + "buBlip") is not None
    return level, "-" if bullets or marked or level else ""
