"""Word and OpenDocument texts: tables, notes, comments, formulas, what stands in the margins."""

import io
import subprocess
import sys
from typing import Any

import docx
import pytest
from docx.enum.section import WD_SECTION

from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extract.opendocument.text import extract_odt
from services.knowledge_base.ingestion.extract.word.reader import extract_docx
from tests.knowledge import files
from tests.knowledge.readers import changed, read_with, tables_of, titles_of, zipped

_MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"

_TWO_LEVELS = (
    b'<w:num w:numId="99"><w:abstractNumId w:val="99"/></w:num><w:abstractNum w:abstractNumId="99">'
    b'<w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/><w:lvlText w:val="%1"/></w:lvl>'
    b'<w:lvl w:ilvl="1"><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl></w:abstractNum>'
)


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def table_of(document: Any, rows: list[list[str]]) -> Any:
    table = document.add_table(rows=len(rows), cols=len(rows[0]))
    for row, texts in zip(table.rows, rows, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    return table


def test_word_tables_are_tables() -> None:
    document = docx.Document()
    document.add_paragraph("before")
    table_of(document, [["Part", "Price"], ["gauge|s", "4.5"], ["clock", "12"]])
    document.add_paragraph("after")
    found = read_with(extract_docx, saved(document))

    assert tables_of(found) == [("| Part | Price |\n| --- | --- |\n", "| gauge\\|s | 4.5 |\n| clock | 12 |")]
    assert found.text.startswith("before\n\n| Part")
    assert found.text.endswith("12 |\n\nafter")


def test_merged_cells_of_word_keep_their_columns() -> None:
    document = docx.Document()
    table = table_of(document, [["Region", "Sales", "Profit"], ["North", "5", "2"], ["", "7", "1"]])
    table.cell(1, 0).merge(table.cell(2, 0))
    [(head, body)] = tables_of(read_with(extract_docx, saved(document)))

    assert head.startswith("| Region | Sales | Profit |")
    assert body == "| North | 5 | 2 |\n| North | 7 | 1 |"


def test_a_frame_around_a_text_is_no_table() -> None:
    document = docx.Document()
    table_of(document, [["Mind the gap."]])
    found = read_with(extract_docx, saved(document))

    assert found.text == "Mind the gap."
    assert found.tables == ()


def test_margins_are_read_once_and_comments_where_they_belong() -> None:
    document = docx.Document()
    document.core_properties.title = "Handbook"
    for section in (document.sections[0], document.add_section(WD_SECTION.NEW_PAGE)):
        section.header.is_linked_to_previous = False
        section.header.paragraphs[0].text = "ACME confidential"
    document.sections[0].footer.paragraphs[0].text = "Printed in Ulm"
    paragraph = document.add_paragraph("Ask the owner.")
    document.add_comment(paragraph.runs, text="Which one?", author="Ann")
    document.add_paragraph("The end.")
    found = read_with(extract_docx, saved(document))

    assert found.text == "ACME confidential\n\nAsk the owner.\n\nComment: Which one?\n\nThe end.\n\nPrinted in Ulm"
    assert found.title == "Handbook"


def test_items_of_lists_within_lists_stand_further_in() -> None:
    data = files.word(("List Bullet", "gauges"), ("List Bullet 2", "brass"), ("List Bullet", "clocks"))
    style = b'<w:pStyle w:val="ListBullet2"/>'
    deeper = style + b'<w:numPr><w:ilvl w:val="1"/><w:numId w:val="99"/></w:numPr>'

    def nested(_: str, content: bytes) -> bytes:
        return content.replace(style + b"</w:pPr>", deeper + b"</w:pPr>").replace(
            b"</w:numbering>", _TWO_LEVELS + b"</w:numbering>"
        )

    assert read_with(extract_docx, changed(data, nested)).text == "- gauges\n  1.1 brass\n- clocks"


def math(inside: str) -> str:
    return f'<w:p><m:oMath xmlns:m="{_MATH}">{inside}</m:oMath></w:p>'


def run(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        (f"<m:f><m:num>{run('a')}</m:num><m:den>{run('b')}</m:den></m:f>", r"$\frac{a}{b}$"),
        (f"<m:sSup><m:e>{run('x')}</m:e><m:sup>{run('2')}</m:sup></m:sSup>{run('≤π')}", r"$x^{2}\leq \pi$"),
        (f"<m:rad><m:deg>{run('3')}</m:deg><m:e>{run('x')}</m:e></m:rad>", r"$\sqrt[3]{x}$"),
        (
            f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{run("i=1")}</m:sub><m:sup>{run("n")}</m:sup>'
            f"<m:e>{run('i')}</m:e></m:nary>",
            r"$\sum_{i=1}^{n} i$",
        ),
        (f"<m:nary><m:sub/><m:sup/><m:e>{run('x')}</m:e></m:nary>", r"$\int x$"),
        (f"<m:d><m:dPr><m:begChr m:val='['/></m:dPr><m:e>{run('x')}</m:e></m:d>", r"$\left[x\right)$"),
        (f"<m:func><m:fName>{run('sin')}</m:fName><m:e>{run('x')}</m:e></m:func>", r"$\sin {x}$"),
    ],
)
def test_formulas_are_written_as_latex(formula: str, written: str) -> None:
    assert read_with(extract_docx, files.word_of_xml([math(formula)])).text == written


def test_check_boxes_of_old_forms_and_symbol_fonts() -> None:
    box = '<w:checkBox><w:default w:val="{}"/></w:checkBox>'
    field = f'<w:fldChar w:fldCharType="begin"><w:ffData>{box}</w:ffData></w:fldChar>'
    body = "".join(
        f"<w:p><w:r>{mark}</w:r><w:r><w:t xml:space='preserve'> {text}</w:t></w:r></w:p>"
        for mark, text in (
            (field.format(1), "tea"),
            (field.format(0), "milk"),
            ('<w:sym w:font="Wingdings" w:char="F0FE"/>', "sugar"),
        )
    )
    assert read_with(extract_docx, files.word_of_xml([body])).text == "[x] tea\n\n[ ] milk\n\n[x] sugar"


def test_hidden_text_stays_hidden() -> None:
    body = "<w:p><w:r><w:t>seen</w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t> unseen</w:t></w:r></w:p>"
    assert read_with(extract_docx, files.word_of_xml([body])).text == "seen"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"wordprocessingml.document.main+xml", b"wordprocessingml.template.main+xml"),
        (b"openxmlformats-officedocument.wordprocessingml.document.main", b"ms-word.document.macroEnabled.main"),
        (b"http://schemas.openxmlformats.org/wordprocessingml/2006/", b"http://purl.oclc.org/ooxml/wordprocessingml/"),
    ],
)
def test_templates_files_with_macros_and_strict_ones_are_read(old: bytes, new: bytes) -> None:
    data = changed(files.word(("Heading 1", "Repairs")), lambda _, content: content.replace(old, new))
    assert titles_of(read_with(extract_docx, data)) == [(1, "Repairs")]


def test_a_broken_part_costs_only_itself() -> None:
    data = changed(
        files.word(("Normal", "text")), lambda name, content: b"<x" if name == "word/styles.xml" else content
    )
    assert read_with(extract_docx, data).text == "text"


_NAMES = {
    "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
    "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
    "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
    "style": "urn:oasis:names:tc:opendocument:xmlns:style:1.0",
    "meta": "urn:oasis:names:tc:opendocument:xmlns:meta:1.0",
    "dc": "http://purl.org/dc/elements/1.1/",
}
_SPACES = " ".join(f'xmlns:{short}="{name}"' for short, name in _NAMES.items())


def open_text(body: str, **parts: str) -> bytes:
    content = (
        f"<office:document-content {_SPACES}><office:automatic-styles>"
        '<text:list-style style:name="N"><text:list-level-style-number text:level="1" style:num-format="1"/>'
        "</text:list-style></office:automatic-styles>"
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    return zipped({"content.xml": content, **{f"{name}.xml": text for name, text in parts.items()}})


def test_open_document_texts() -> None:
    item = "<text:list-item><text:p>{}</text:p></text:list-item>"
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    found = read_with(
        extract_odt,
        open_text(
            '<text:h text:outline-level="1">Repairs</text:h>'
            '<text:p>We<text:s text:c="2"/>repair<text:note><text:note-citation>1</text:note-citation>'
            "<text:note-body><text:p>Since 1910.</text:p></text:note-body></text:note> it.</text:p>"
            f'<text:list text:style-name="N">{item.format("bring")}{item.format("wait")}</text:list>'
            f"<text:list>{item.format('gauges')}</text:list>"
            "<table:table><table:table-header-rows><table:table-row>"
            f"{cell.format('Part')}{cell.format('Price')}</table:table-row></table:table-header-rows>"
            f"<table:table-row>{cell.format('clock')}{cell.format('12')}</table:table-row></table:table>"
            "<text:p><draw:frame><draw:text-box><text:p>Boxed</text:p></draw:text-box></draw:frame></text:p>"
            "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
            "<text:p>seen<office:annotation><text:p>Really?</text:p></office:annotation></text:p>",
            meta=f"<office:document-meta {_SPACES}><office:meta><dc:title>Handbook</dc:title>"
            "<dc:date>2024-05-06T07:08:09</dc:date></office:meta></office:document-meta>",
            styles=f"<office:document-styles {_SPACES}><style:header><text:p>ACME</text:p></style:header>"
            "<style:header><text:p>ACME</text:p></style:header></office:document-styles>",
        ),
    )

    assert found.text == (
        "ACME\n\nRepairs\n\nWe  repair it.\n\nSince 1910.\n\n1. bring\n2. wait\n- gauges\n\n"
        "| Part | Price |\n| --- | --- |\n| clock | 12 |\n\nBoxed\n\nseen\n\nComment: Really?"
    )
    assert titles_of(found) == [(1, "Repairs")]
    assert tables_of(found) == [("| Part | Price |\n| --- | --- |\n", "| clock | 12 |")]
    assert (found.title, found.dated_at) == ("Handbook", "2024-05-06T07:08:09Z")


def test_repeated_cells_do_not_flood_the_text() -> None:
    row = (
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell'
        ' table:number-columns-repeated="1000000"><text:p>x</text:p></table:table-cell></table:table-row>'
    )
    assert len(read_with(extract_odt, open_text(f"<table:table>{row}</table:table>")).text) < 100_000


def test_a_protected_open_document_says_so() -> None:
    data = zipped({"content.xml": b"\x00\x01", "META-INF/manifest.xml": "<m><encryption-data/></m>"})
    with pytest.raises(ExtractionError) as caught:
        read_with(extract_odt, data)
    assert caught.value.code is ExtractionCode.ENCRYPTED


def test_entities_are_not_followed() -> None:
    content = (
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
        f"<office:document-content {_SPACES}><office:body><office:text><text:p>&a;</text:p></office:text>"
        "</office:body></office:document-content>"
    )
    with pytest.raises(ExtractionError) as caught:
        read_with(extract_odt, zipped({"content.xml": content}))
    assert caught.value.code is ExtractionCode.DAMAGED


@pytest.mark.parametrize("module", ["slides", "sheets", "word.reader", "opendocument.text"])
def test_readers_load_nothing_heavy(module: str) -> None:
    """Each document is read in a process of its own, which pays for what its reader imports."""
    code = (
        f"import sys, services.knowledge_base.ingestion.extract.{module};"
        "print(*({'docx', 'pptx', 'numpy', 'pandas', 'openpyxl'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
