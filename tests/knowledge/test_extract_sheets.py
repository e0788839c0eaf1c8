"""Workbooks and separated values: tables as tables, values as a person reads them."""

import io
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import pytest
import xlsxwriter

from services.knowledge_base.ingestion.extract.csv import extract_csv
from services.knowledge_base.ingestion.extract.model import ContentLimits, ExtractionCode, ExtractionError, Source
from services.knowledge_base.ingestion.extract.sheets import extract_sheets
from tests.knowledge.readers import changed, read_with, tables_of, titles_of, zipped

Fill = Callable[[Any, Any], None]


def workbook(*sheets: tuple[str, Fill], **properties: Any) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    book.set_properties(properties)
    for name, fill in sheets:
        fill(book, book.add_worksheet(name))
    book.close()
    return out.getvalue()


def rows_at(row: int, column: int, rows: list[list[object]]) -> Fill:
    def fill(_: Any, sheet: Any) -> None:
        for number, cells in enumerate(rows):
            sheet.write_row(row + number, column, cells)

    return fill


PRICES: list[list[object]] = [["Part", "Price"], ["gauge", 4.5], ["clock", 12]]
PRICES_HEAD = "| Part | Price |\n| --- | --- |\n"
PRICES_BODY = "| gauge | 4.5 |\n| clock | 12 |"


def test_each_sheet_is_a_heading_and_its_cells_a_table() -> None:
    data = workbook(("Prices", rows_at(0, 0, PRICES)), ("Far", rows_at(30, 5, PRICES)), title="Price list")
    found = read_with(extract_sheets, data)

    assert titles_of(found) == [(1, "Prices"), (1, "Far")]
    assert tables_of(found) == [(PRICES_HEAD, PRICES_BODY)] * 2
    assert found.title == "Price list"
    assert found.dated_at is not None


def test_values_read_as_a_person_reads_them() -> None:
    def fill(book: Any, sheet: Any) -> None:
        def styled(form: str) -> Any:
            return book.add_format({"num_format": form})

        sheet.write_row(0, 0, [True, 0.1 + 0.2, 1e20, "a|b\nc", -3])
        sheet.write_datetime(1, 0, date(2024, 1, 31), styled("dd/mm/yyyy"))
        sheet.write_datetime(1, 1, datetime.fromisoformat("2024-01-31 09:05"), styled("dd/mm/yyyy hh:mm"))
        sheet.write_datetime(1, 2, time(18, 30), styled("hh:mm"))
        sheet.write(1, 3, 0.183, styled("0.0%"))
        sheet.write(1, 4, 1.5, styled("[h]:mm:ss"))

    [(head, body)] = tables_of(read_with(extract_sheets, workbook(("x", fill))))

    assert not head
    assert body == (
        "| TRUE | 0.3 | 1e+20 | a\\|b c | -3 |\n| 2024-01-31 | 2024-01-31 09:05 | 18:30 | 18.3% | 36:00:00 |"
    )


def test_tables_of_one_sheet_are_told_apart() -> None:
    def fill(book: Any, sheet: Any) -> None:
        rows_at(0, 0, PRICES)(book, sheet)
        rows_at(1, 5, [["City", "People"], ["Ulm", 126]])(book, sheet)
        rows_at(6, 0, [["Year", "Sales"], [2024, 7]])(book, sheet)

    found = tables_of(read_with(extract_sheets, workbook(("x", fill))))

    assert [head.split("\n")[0] for head, _ in found] == ["| Part | Price |", "| City | People |", "| Year | Sales |"]
    assert found[0][1] == PRICES_BODY


def test_a_title_above_and_notes_below_are_no_rows() -> None:
    note = "(a) Prices hold until the end of the year unless copper rises by more than a tenth."
    rows: list[list[object]] = [["Price list"], *PRICES, [note]]
    found = read_with(extract_sheets, workbook(("x", rows_at(0, 0, rows))))

    assert tables_of(found) == [(PRICES_HEAD, PRICES_BODY)]
    assert found.text == f"x\n\nPrice list\n\n{PRICES_HEAD}{PRICES_BODY}\n\n{note}"


def test_merged_cells_hold_for_all_that_they_span() -> None:
    def fill(_: Any, sheet: Any) -> None:
        sheet.merge_range("A1:A2", "Region")
        sheet.merge_range("B1:C1", "Sales")
        sheet.write_row(1, 1, ["2023 plan", "2024 plan"])
        sheet.merge_range("A3:A4", "North")
        sheet.write_row(2, 1, [1, 2])
        sheet.write_row(3, 1, [3, 4])

    [(head, body)] = tables_of(read_with(extract_sheets, workbook(("x", fill))))

    assert head.startswith("| Region | Sales 2023 plan | Sales 2024 plan |\n")
    assert body == "| North | 1 | 2 |\n| North | 3 | 4 |"


def test_names_of_columns_stay_with_them_across_an_empty_row() -> None:
    rows: list[list[object]] = [["", "Sales", "Profit"], [], ["North", 5, 2], ["South", 7, 1]]
    [(head, body)] = tables_of(read_with(extract_sheets, workbook(("x", rows_at(0, 0, rows)))))

    assert head.startswith("|  | Sales | Profit |\n")
    assert body == "| North | 5 | 2 |\n| South | 7 | 1 |"


def test_charts_text_boxes_and_comments_are_read() -> None:
    def fill(book: Any, sheet: Any) -> None:
        rows_at(0, 0, PRICES)(book, sheet)
        chart = book.add_chart({"type": "column"})
        chart.add_series({"name": "Price", "categories": "=x!$A$2:$A$3", "values": "=x!$B$2:$B$3"})
        chart.set_title({"name": "What parts cost"})
        sheet.insert_chart("D2", chart)
        sheet.insert_textbox("D20", "Ask Ann first.")
        sheet.write_comment("B3", "Rises in May.")

    found = read_with(extract_sheets, workbook(("x", fill)))

    assert "Bar chart: What parts cost" in found.text
    assert tables_of(found)[1] == ("|  | Price |\n| --- | --- |\n", PRICES_BODY)
    assert "Ask Ann first." in found.text
    assert "Comment on B3: " in found.text
    assert "Rises in May." in found.text


def test_cells_far_apart_cost_no_more_than_near_ones() -> None:
    def fill(_: Any, sheet: Any) -> None:
        sheet.write(0, 0, "first")
        sheet.write(500_000, 3, "middle")
        sheet.write(1_048_575, 16_383, "last")

    found = read_with(extract_sheets, workbook(("x", fill)))

    assert found.text.split() == ["x", "first", "middle", "last"]


def test_more_text_than_allowed_stops_the_reading() -> None:
    source = Source(io.BytesIO(workbook(("x", rows_at(0, 0, [["abcdefgh"] * 10] * 50)))), "x.xlsx")
    with pytest.raises(ExtractionError) as caught:
        extract_sheets(source, ContentLimits(characters=1000))
    assert caught.value.code is ExtractionCode.TOO_LARGE


def test_open_document_sheets() -> None:
    rows = "".join(f"<table:table-row>{''.join(_cell(value) for value in row)}</table:table-row>" for row in PRICES)
    content = (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
        ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        f'<table:table table:name="Prices">{rows}</table:table></office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    data = zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "META-INF/manifest.xml": manifest,
            "content.xml": content,
        }
    )
    found = read_with(extract_sheets, data)

    assert titles_of(found) == [(1, "Prices")]
    assert tables_of(found) == [(PRICES_HEAD, PRICES_BODY)]


def _cell(value: object) -> str:
    if isinstance(value, str):
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
    return f'<table:table-cell office:value-type="float" office:value="{value}"/>'


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Part,Price\ngauge,4.5\nclock,12\n", "a.csv"),
        ("Part;Price\ngauge;4.5\nclock;12\n", "a.csv"),
        ("Part\tPrice\ngauge\t4.5\nclock\t12\n", "a.tsv"),
        ("Part|Price\ngauge|4.5\nclock|12\n", "a.txt"),
        ("sep=;\r\nPart;Price\r\ngauge;4.5\r\nclock;12\r\n", "a.csv"),
        ('"Part","Price"\r\n"gauge","4.5"\r\n\r\n"clock","12"', "a.csv"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separated_values_are_one_table_whatever_separates_them(text: str, name: str, encoding: str) -> None:
    assert tables_of(read_with(extract_csv, text.encode(encoding), name)) == [(PRICES_HEAD, PRICES_BODY)]


def test_decimal_commas_do_not_part_columns() -> None:
    [(_, body)] = tables_of(read_with(extract_csv, b"Part;Price\ngauge;4,5\nclock;12,0\n"))
    assert body == "| gauge | 4,5 |\n| clock | 12,0 |"


def test_quoted_values_keep_separators_and_lose_line_breaks() -> None:
    data = b'Name,Note\n"Doe, Jane","first\nsecond | third"\n'
    [(_, body)] = tables_of(read_with(extract_csv, data))
    assert body == "| Doe, Jane | first second \\| third |"


def test_a_mark_that_is_never_closed_does_not_swallow_the_rest() -> None:
    data = b"Part,Price\n" + b"gauge,1\n" * 3 + b'"odd,2\n' + b"clock,3\n" * 9
    [(_, body)] = tables_of(read_with(extract_csv, data))
    assert body.count("| clock | 3 |") == 9


def test_a_sheet_that_cannot_be_read_costs_only_itself() -> None:
    data = workbook(("One", rows_at(0, 0, PRICES)), ("Two", rows_at(0, 0, PRICES)))
    found = read_with(
        extract_sheets, changed(data, lambda name, content: content[:400] if name.endswith("sheet1.xml") else content)
    )
    assert titles_of(found)[-1] == (1, "Two")
    assert tables_of(found)[-1] == (PRICES_HEAD, PRICES_BODY)
    assert found.warnings == ("The sheet One could not be read.",)


def test_old_japanese_values() -> None:
    data = "名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n髙橋淳,35,名古屋".encode("cp932")
    [(head, body)] = tables_of(read_with(extract_csv, data))
    assert head.startswith("| 名前 | 年齢 | 住所 |")
    assert body.endswith("| 髙橋淳 | 35 | 名古屋 |")


def test_one_very_long_row_does_not_widen_all_others() -> None:
    data = "\n".join([*["a,b"] * 2000, ",".join("c" * 20_000)]).encode()
    assert len(read_with(extract_csv, data).text) < 200_000
