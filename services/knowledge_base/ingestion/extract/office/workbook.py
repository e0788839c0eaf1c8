"""What calamine does not read of an Excel file (.xlsx, .xlsm): charts, comments, text boxes, which numbers are shares.

Also makes a sheet of a few cells far apart small: calamine holds a cell for every place between them.
"""

import io
import re
import zipfile
from collections.abc import Iterator

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import Composer, one_line
from services.knowledge_base.ingestion.extract.model import ContentLimits, ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extract.office.charts import add_chart
from services.knowledge_base.ingestion.extract.office.drawing import choices, diagram_lines, read_lines
from services.knowledge_base.ingestion.extract.office.package import Package
from services.knowledge_base.ingestion.extract.office.xml import BrokenPart, Element, R, local

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_DIMENSION = re.compile(rb'<dimension ref="([A-Z]{1,3})(\d+):([A-Z]{1,3})(\d+)"\s*/>')
_PROLOG = 8192
_SHARE_FORMATS = ("9", "10")
_CELL = re.compile(rb"<c\s([^>]*)>")
_PLACE = re.compile(rb'\br="([A-Z]{1,3})(\d{1,7})"')
_STYLE = re.compile(rb'\bs="(\d+)"')
_PLACED = re.compile(rb'<row\s[^>]*?\br="\d+"|<c\s[^>]*?\br="[A-Z]{1,3}\d{1,7}"[^>]*?(?:/>|>)')
_EMPTY_CELL = re.compile(rb"<c\s[^>]*?/>")
_ROW_PLACE = re.compile(rb'\br="(\d+)"')
_ROOM_BETWEEN = 3
MOST_CELLS = 5_000_000


class Workbook:
    def __init__(self, data: bytes, limits: ContentLimits) -> None:
        self._data = data
        self.package = Package(data, limits)
        main = self.package.main
        targets = self.package.targets(main)
        sheets = self.package.xml(main).iter(_S + "sheet")
        self._parts = {sheet.get("name", ""): targets.get(sheet.get(R + "id", ""), "") for sheet in sheets}
        self._shares = self._share_styles()

    def compact(self) -> bytes:
        """The file, its sheets of cells far apart moved together."""
        wide = {part: moved for part in self._parts.values() if part and (moved := self._moved_together(part))}
        if not wide:
            return self._data
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self._data)) as old, zipfile.ZipFile(out, "w") as new:
            for entry in old.infolist():
                new.writestr(entry.filename, wide.get(entry.filename.lstrip("/")) or old.read(entry))
        return out.getvalue()

    def shares(self, sheet: str) -> set[tuple[int, int]]:
        """The cells, by row and column from 0, whose numbers are shown as percentages."""
        part = self._parts.get(sheet)
        return set(self._share_cells(self.package.read(part))) if part and self._shares else set()

    def add_drawings(self, composer: Composer, sheet: str) -> None:
        part = self._parts.get(sheet)
        if not part:
            return
        for relation in self.package.related(part, "drawing"):
            try:
                self._add_drawing(composer, relation.target)
            except BrokenPart:
                composer.warnings.append(f"A drawing on the sheet {sheet} could not be read.")

    def add_comments(self, composer: Composer, sheet: str) -> None:
        """Of a conversation, Excel keeps a copy for its older versions."""
        part = self._parts.get(sheet)
        relations = list(self.package.related(part, "comments", "threadedComment")) if part else []
        newest = [relation for relation in relations if relation.kind == "threadedComment"] or relations
        for relation in newest:
            try:
                comments = list(self.package.xml(relation.target).iter())
            except BrokenPart:
                composer.warnings.append(f"The comments on the sheet {sheet} could not be read.")
                continue
            for comment in comments:
                if local(comment.tag) in ("comment", "threadedComment"):
                    text = one_line("".join(piece.text or "" for piece in comment.iter() if _is_text(piece)))
                    composer.block(f"Comment on {comment.get('ref', '')}: {text}" if text else "")

    def _add_drawing(self, composer: Composer, name: str) -> None:
        targets = self.package.targets(name)
        for anchor in self.package.xml(name):
            for element in _drawn(anchor):
                kind = local(element.tag)
                if kind == "txBody":
                    for line in read_lines(element, bullets=False):
                        composer.block(line.text, item=line.item)
                    continue
                target = targets.get(element.get(R + ("id" if kind == "chart" else "dm"), ""))
                if target and kind == "chart":
                    add_chart(composer, self.package.xml(target))
                elif target:
                    for text in diagram_lines(self.package.xml(target)):
                        composer.block(text, item=True)

    def _share_styles(self) -> frozenset[bytes]:
        styles = next(self.package.related(self.package.main, "styles"), None)
        if styles is None:
            return frozenset()
        root = self.package.xml(styles.target)
        own = [form.get("numFmtId", "") for form in root.iter(_S + "numFmt") if "%" in form.get("formatCode", "")]
        kinds = (*_SHARE_FORMATS, *own)
        forms = root.findall(f"{_S}cellXfs/{_S}xf")
        return frozenset(b"%d" % number for number, form in enumerate(forms) if form.get("numFmtId", "") in kinds)

    def _share_cells(self, sheet: bytes) -> Iterator[tuple[int, int]]:
        for cell in _CELL.finditer(sheet):
            style = _STYLE.search(cell[1])
            place = _PLACE.search(cell[1])
            if style and place and style[1] in self._shares:
                yield int(place[2]) - 1, _column(place[1])

    def _moved_together(self, part: str) -> bytes | None:
        sheet = self.package.read(part)
        size = _DIMENSION.search(sheet, 0, _PROLOG)
        if size is None or _area(size) <= MOST_CELLS:
            return None
        filled = [
            place for cell in _CELL.finditer(sheet) if not cell[1].endswith(b"/") and (place := _PLACE.search(cell[1]))
        ]
        rows = _renumbered({int(place[2]) for place in filled}, room=2)
        columns = _renumbered({_column(place[1]) for place in filled}, room=_ROOM_BETWEEN)
        if max(rows.values(), default=0) * max(columns.values(), default=0) > MOST_CELLS:
            raise ExtractionError(
                ExtractionCode.TOO_LARGE, f"A sheet of the workbook spans more than {MOST_CELLS:,} cells."
            )
        return _renumber(_EMPTY_CELL.sub(b"", sheet), rows, columns)


def _renumber(sheet: bytes, rows: dict[int, int], columns: dict[int, int]) -> bytes:
    def moved(found: re.Match[bytes]) -> bytes:
        place = _PLACE.search(found[0])
        if place is None:
            row = _ROW_PLACE.search(found[0])
            return found[0] if row is None else found[0].replace(row[0], b'r="%d"' % (rows.get(int(row[1]), 0) + 1))
        name = _letters(columns[_column(place[1])])
        return found[0].replace(place[0], b'r="%b%d"' % (name, rows[int(place[2])] + 1))

    sheet = re.sub(rb"<row\s[^>]*?/>|<mergeCells.*?</mergeCells>|<dimension[^>]*/>", b"", sheet, flags=re.S)
    sheet = re.sub(rb"<row\s[^>]*>\s*</row>", b"", sheet)
    return _PLACED.sub(moved, sheet)


def _drawn(parent: Element) -> Iterator[Element]:
    for child in choices(parent):
        if local(child.tag) in ("txBody", "chart", "relIds"):
            yield child
        else:
            yield from _drawn(child)


def _is_text(element: Element) -> bool:
    return local(element.tag) in ("t", "text") and bool(clean(element.text or ""))


def _renumbered(places: set[int], room: int) -> dict[int, int]:
    """New numbers from 0, where what stood far apart stands `room` apart."""
    numbers: dict[int, int] = {}
    last, number = None, 0
    for place in sorted(places):
        number += 0 if last is None else min(place - last, room)
        numbers[place] = number
        last = place
    return numbers


def _area(found: re.Match[bytes]) -> int:
    rows = int(found[4]) - int(found[2]) + 1
    return rows * (_column(found[3]) - _column(found[1]) + 1)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _letters(column: int) -> bytes:
    name = b""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = bytes([65 + rest]) + name
    return name
