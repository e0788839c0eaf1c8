"""Presentations (PowerPoint): a slide is a page and its title a heading; then what it holds, and its notes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from services.knowledge_base.ingestion.extract.compose import Composer, looks_like_head, one_line
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionError,
    Source,
    damaged,
)
from services.knowledge_base.ingestion.extract.office.charts import add_chart
from services.knowledge_base.ingestion.extract.office.drawing import (
    DIAGRAM,
    choices,
    diagram_lines,
    paragraph_text,
    read_lines,
    table_rows,
)
from services.knowledge_base.ingestion.extract.office.package import Package
from services.knowledge_base.ingestion.extract.office.xml import A, BrokenPart, C, Element, R, local

P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_SHAPES = frozenset({"sp", "grpSp", "graphicFrame"})
_TITLES = ("title", "ctrTitle")
_NOT_READ = frozenset({"dt", "sldNum", "sldImg"})
_BULLETED = frozenset({"", "obj", "body"})
# Shapes whose tops are this near (0.3 inches) stand beside each other.
_SAME_ROW = 274_320
_DEPTH = 30


@dataclass(frozen=True, slots=True)
class _Shape:
    element: Element
    kind: str
    placeholder: str | None
    top: int
    left: int


def extract_pptx(source: Source, limits: ContentLimits) -> Extracted:
    package = Package(source.read(), limits)
    reader = _Reader(package, limits)
    return reader.read()


class _Reader:
    def __init__(self, package: Package, limits: ContentLimits) -> None:
        self._package = package
        self._composer = Composer(limits)
        self._layouts: dict[str, dict[str, tuple[int, int]]] = {}
        self._footers: set[str] = set()

    def read(self) -> Extracted:
        slides = self._slides()
        for number, name in enumerate(slides, 1):
            self._composer.page()
            try:
                self._slide(name)
            except (BrokenPart, ExtractionError, RecursionError) as error:
                if isinstance(error, ExtractionError) and name in self._package:
                    raise
                self._composer.warnings.append(f"Slide {number} could not be read.")
        if slides and len(self._composer.warnings) == len(slides):
            damaged("No slide of the presentation could be read: the file is damaged.")
        return self._composer.extracted(DocumentFormat.PPTX, *self._package.title_and_date())

    def _slides(self) -> list[str]:
        targets = self._package.targets(self._package.main)
        listed = self._package.xml(self._package.main).iter(P + "sldId")
        return [targets.get(slide.get(R + "id", ""), "") for slide in listed]

    def _slide(self, name: str) -> None:
        tree = self._package.xml(name).find(f"{P}cSld/{P}spTree")
        if tree is None:
            return
        shapes = list(_in_reading_order(self._shapes(tree, self._places(name))))
        for shape in shapes:
            if shape.placeholder in _TITLES:
                self._title(shape)
        targets = self._package.targets(name)
        for shape in shapes:
            if shape.placeholder not in _TITLES:
                self._shape(shape, targets)
        self._notes(name)

    def _title(self, shape: _Shape) -> None:
        body = shape.element.find(P + "txBody")
        if body is not None:
            self._composer.heading(1, one_line(" ".join(map(paragraph_text, body.findall(A + "p")))).strip())

    def _shape(self, shape: _Shape, targets: dict[str, str]) -> None:
        body = shape.element.find(P + "txBody")
        if body is not None:
            self._text(shape, body)
        elif shape.kind == "graphicFrame":
            self._graphic(shape.element, targets)

    def _text(self, shape: _Shape, body: Element) -> None:
        lines = list(read_lines(body, bullets=shape.placeholder in _BULLETED))
        if shape.placeholder in ("ftr", "hdr"):
            lines = [line for line in lines if line.text not in self._footers]
            self._footers.update(line.text for line in lines)
        for line in lines:
            self._composer.block(line.text, item=line.item)

    def _graphic(self, frame: Element, targets: dict[str, str]) -> None:
        for table in frame.iter(A + "tbl"):
            rows = table_rows(table)
            properties = table.find(A + "tblPr")
            named = properties is not None and properties.get("firstRow", "") in ("1", "true")
            self._composer.table(rows, head=len(rows) > 1 and (named or looks_like_head(rows)))
        for chart in frame.iter(C + "chart"):
            self._package.spare(targets.get(chart.get(R + "id", "")), lambda root: add_chart(self._composer, root))
        for diagram in frame.iter(DIAGRAM + "relIds"):
            self._package.spare(targets.get(diagram.get(R + "dm", "")), self._diagram)

    def _diagram(self, root: Element) -> None:
        for line in diagram_lines(root):
            self._composer.block(line, item=True)

    def _notes(self, slide: str) -> None:
        for relation in self._package.related(slide, "notesSlide", "comments"):
            self._package.spare(relation.target, self._note if relation.kind == "notesSlide" else self._comments)

    def _note(self, root: Element) -> None:
        for shape in root.iter(P + "sp"):
            body = shape.find(P + "txBody")
            if body is not None and _placeholder(shape) in ("body", ""):
                text = "\n".join(line.text for line in read_lines(body, bullets=False))
                self._composer.block(f"Notes: {text}" if text else "")

    def _comments(self, root: Element) -> None:
        """Old ones hold plain text, new ones a text body."""
        for comment in root.iter(P + "text"):
            self._composer.block(f"Comment: {comment.text or ''}")
        for body in (element for element in root.iter() if local(element.tag) == "txBody"):
            text = "\n".join(line.text for line in read_lines(body, bullets=False))
            self._composer.block(f"Comment: {text}" if text else "")

    def _shapes(self, tree: Element, places: dict[str, tuple[int, int]], depth: int = 0) -> Iterator[_Shape]:
        """In the order they were drawn; what is grouped stands where its group stands."""
        for element in choices(tree):
            kind = local(element.tag)
            if kind not in _SHAPES:
                continue
            shape = _Shape(element, kind, _placeholder(element), *_place(element, places))
            if kind == "grpSp":
                inside = _in_reading_order(self._shapes(element, places, depth + 1)) if depth < _DEPTH else ()
                yield from (replace(one, top=shape.top, left=shape.left) for one in inside)
            elif shape.placeholder not in _NOT_READ:
                yield shape

    def _places(self, slide: str) -> dict[str, tuple[int, int]]:
        """Where the slide's layout puts its placeholders, by their number and by their kind."""
        layout = next((relation.target for relation in self._package.related(slide, "slideLayout")), "")
        if layout and layout not in self._layouts:
            self._layouts[layout] = _layout_places(self._package, layout)
        return self._layouts.get(layout, {})


def _layout_places(package: Package, layout: str) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    masters = [relation.target for relation in package.related(layout, "slideMaster")]
    for name in (*masters, layout):
        for shape in package.xml(name).iter(P + "sp"):
            offset = _offset(shape)
            if offset is not None and _placeholder(shape) is not None:
                places.update(dict.fromkeys(_keys(shape), offset))
    return places


def _keys(shape: Element) -> tuple[str, str]:
    placeholder = next(shape.iter(P + "ph"))
    return f"#{placeholder.get('idx', '')}" if placeholder.get("idx", "") else "", placeholder.get("type", "") or "body"


def _placeholder(shape: Element) -> str | None:
    """Its kind, "" for content of any kind; None if the shape is none."""
    for properties in shape:
        for found in properties.findall(f"{P}nvPr/{P}ph"):
            return found.get("type", "")
    return None


def _place(element: Element, places: dict[str, tuple[int, int]]) -> tuple[int, int]:
    offset = _offset(element)
    if offset is not None:
        return offset
    if _placeholder(element) is not None:
        return next((places[key] for key in _keys(element) if key and key in places), (0, 0))
    return 0, 0


def _offset(element: Element) -> tuple[int, int] | None:
    for path in (f"{P}spPr/{A}xfrm", f"{P}grpSpPr/{A}xfrm", f"{P}xfrm"):
        found = element.find(f"{path}/{A}off")
        if found is not None:
            try:
                return int(found.get("y", "")), int(found.get("x", ""))
            except ValueError:
                return None
    return None


def _in_reading_order(shapes: Iterable[_Shape]) -> Iterator[_Shape]:
    """Row by row, from left to right; shapes that stand in one place stay as they were."""
    row: list[_Shape] = []
    for shape in sorted(shapes, key=lambda shape: shape.top):
        if row and shape.top - row[0].top > _SAME_ROW:
            yield from sorted(row, key=lambda shape: shape.left)
            row = []
        row.append(shape)
    yield from sorted(row, key=lambda shape: shape.left)
