"""The numbers behind a chart, as a table: one row per category, one column per series."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import Composer, one_line
from services.knowledge_base.ingestion.extract.office.xml import A, C, Element, local

_NAMES = {"ofPie": "Pie", "doughnut": "Doughnut"}
_CATEGORIES = (C + "cat", C + "xVal")
_VALUES = (C + "val", C + "yVal")
_Points = dict[int, str]


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    categories: _Points
    values: _Points


def add_chart(composer: Composer, root: Element) -> None:
    series = [_read_series(element) for element in root.iter(C + "ser")]
    caption = ": ".join(filter(None, (_kind(root), _title(root.find(f"{C}chart/{C}title")))))
    composer.block(caption)
    axes = [title for axis in ("catAx", "valAx", "dateAx") for title in _axis_titles(root, C + axis)]
    if axes:
        composer.block(f"Axes: {', '.join(axes)}")
    if series:
        composer.table(list(_rows(series)), head=True)


def _kind(root: Element) -> str:
    area = root.find(f"{C}chart/{C}plotArea")
    if area is None:
        return "Chart"
    kinds = [local(child.tag) for child in area if child.tag.endswith("Chart")]
    names = dict.fromkeys(kind.removesuffix("Chart").removesuffix("3D") for kind in kinds)
    return f"{' and '.join(_NAMES.get(name, name) for name in names)} chart".strip().capitalize()


def _title(title: Element | None) -> str:
    if title is None:
        return ""
    return one_line(clean("".join(text.text or "" for text in title.iter(A + "t", C + "v"))).strip())


def _axis_titles(root: Element, tag: str) -> Iterator[str]:
    for axis in root.iter(tag):
        if title := _title(axis.find(C + "title")):
            yield title


def _read_series(element: Element) -> _Series:
    name = " ".join(_points(element, (C + "tx",)).values())
    if not name:
        name = next((value.text or "" for value in element.findall(f"{C}tx/{C}v")), "")
    return _Series(one_line(name), _points(element, _CATEGORIES), _points(element, _VALUES))


def _points(series: Element, tags: tuple[str, ...]) -> _Points:
    found: _Points = {}
    for part in (child for child in series if child.tag in tags):
        for index, point in enumerate(part.iter(C + "pt")):
            value = point.find(C + "v")
            text = _number(one_line(clean((value is not None and value.text) or "")).strip())
            place = point.get("idx", "")
            number = int(place) if place.isdecimal() else index
            # Categories of several levels: the finest comes first.
            found[number] = f"{text} {found[number]}" if number in found else text
    return found


def _rows(series: list[_Series]) -> Iterator[list[str]]:
    yield ["", *(one.name for one in series)]
    for place in sorted({place for one in series for place in (*one.values, *one.categories)}):
        category = next((one.categories[place] for one in series if place in one.categories), "")
        yield [category, *(one.values.get(place, "") for one in series)]


def _number(text: str) -> str:
    """Excel writes 2.4 as 2.4000000000000004."""
    try:
        return f"{float(text):.10g}" if len(text) > 10 else text
    except ValueError:
        return text
