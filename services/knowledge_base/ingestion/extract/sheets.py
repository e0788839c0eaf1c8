"""Workbooks of any kind (.xlsx, .xlsm, .xlsb, .xls, .ods): each sheet a heading, its tables, charts and comments."""

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import cast

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from services.knowledge_base.ingestion.extract.compose import Composer, check_length, one_line
from services.knowledge_base.ingestion.extract.grid import add_grid
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    Source,
    damaged,
    password_needed,
)
from services.knowledge_base.ingestion.extract.office.package import check_entries
from services.knowledge_base.ingestion.extract.office.workbook import Workbook
from services.knowledge_base.ingestion.extract.office.xml import BrokenPart
from services.knowledge_base.ingestion.extract.opendocument.package import OpenDocument

_OPEN_XML = "[Content_Types].xml"
_BINARY_MAIN = "xl/workbook.bin"
_ODF_CONTENT = "content.xml"
_NOISY = 17


def extract_sheets(source: Source, limits: ContentLimits) -> Extracted:
    data = source.read()
    names = _entries(data, limits)
    composer = Composer(limits)
    workbook = _workbook(data, limits) if _OPEN_XML in names and _BINARY_MAIN not in names else None
    title_and_date: tuple[str | None, str | None] = (None, None)
    if workbook is not None:
        title_and_date = workbook.package.title_and_date()
    elif _ODF_CONTENT in names:
        title_and_date = OpenDocument(data, limits).title_and_date()
    _read(composer, _open(workbook.compact() if workbook else data), workbook, limits)
    return composer.extracted(DocumentFormat.SHEETS, *title_and_date)


def _entries(data: bytes, limits: ContentLimits) -> frozenset[str]:
    if not data.startswith(b"PK"):
        return frozenset()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_entries(archive, limits, no_doctype=())
        return frozenset(archive.namelist())


def _workbook(data: bytes, limits: ContentLimits) -> Workbook | None:
    """Cells can be read where what stands around them is broken."""
    try:
        return Workbook(data, limits)
    except BrokenPart:
        return None


def _open(data: bytes) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(data))
    except PasswordError:
        password_needed()


def _read(composer: Composer, opened: CalamineWorkbook, workbook: Workbook | None, limits: ContentLimits) -> None:
    broken: list[str] = []
    for number, sheet in enumerate(opened.sheets_metadata):
        # What no menu can show is the program's own.
        if sheet.visible == SheetVisibleEnum.VeryHidden or sheet.typ == SheetTypeEnum.Vba:
            continue
        composer.section(1, sheet.name)
        if sheet.typ == SheetTypeEnum.WorkSheet:
            try:
                cells = opened.get_sheet_by_index(number)
            except CalamineError:
                broken.append(f"The sheet {sheet.name} could not be read.")
                continue
            shares = workbook.shares(sheet.name) if workbook else set[tuple[int, int]]()
            add_grid(composer, _rows(cells, shares, limits), cells.merged_cell_ranges or ())
        if workbook is not None:
            workbook.add_drawings(composer, sheet.name)
            workbook.add_comments(composer, sheet.name)
    if broken and not composer.length:
        damaged("No sheet of the workbook could be read: the file is damaged.")
    composer.warnings += broken


def _rows(sheet: CalamineSheet, shares: set[tuple[int, int]], limits: ContentLimits) -> Iterator[list[str]]:
    length = 0
    for number, row in enumerate(sheet.iter_rows()):
        cells = [_SHOWN[type(value)](value) for value in row]
        if shares:
            for column, value in enumerate(row):
                if (number, column) in shares and isinstance(value, int | float):
                    cells[column] = f"{value * 100:.10g}%"
        length += sum(map(len, cells))
        check_length(length, limits)
        yield cells


def _number(value: float) -> str:
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    # Beyond 15 digits there is only the noise of reckoning.
    return text if len(text) < _NOISY else f"{value:.15g}"


def _truth(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _moment(value: datetime) -> str:
    if value.time() == time():
        return value.date().isoformat()
    return value.isoformat(" ", "seconds" if value.second else "minutes")


def _time(value: time) -> str:
    return value.isoformat("seconds" if value.second else "minutes")


def _duration(value: timedelta) -> str:
    seconds = round(value.total_seconds())
    sign = "-" if seconds < 0 else ""
    minutes, second = divmod(abs(seconds), 60)
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{second:02}"


_SHOWN = cast(
    "dict[type[object], Callable[[object], str]]",
    {
        str: one_line,
        float: _number,
        int: str,
        bool: _truth,
        datetime: _moment,
        date: date.isoformat,
        time: _time,
        timedelta: _duration,
    },
)
