"""Presentations: slides are pages, titles headings, and what stands on a slide comes in reading order."""

import io
from typing import Any

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extract.opendocument.slides import extract_odp
from services.knowledge_base.ingestion.extract.slides import extract_pptx
from tests.knowledge.readers import changed, pages_of, read_with, tables_of, titles_of, zipped

_TITLE_AND_CONTENT, _TITLE_ONLY, _BLANK = 1, 5, 6


def saved(presentation: Any) -> bytes:
    out = io.BytesIO()
    presentation.save(out)
    return out.getvalue()


def box(shapes: Any, text: str, left: float, top: float) -> Any:
    shape = shapes.add_textbox(Inches(left), Inches(top), Inches(2), Inches(0.5))
    shape.text_frame.text = text
    return shape


def test_slides_are_pages_and_titles_headings() -> None:
    presentation = pptx.Presentation()
    presentation.core_properties.title = "Year in review"
    for title in ("Sales", "Outlook"):
        slide = presentation.slides.add_slide(presentation.slide_layouts[_TITLE_AND_CONTENT])
        slide.shapes.title.text = title
        body = slide.placeholders[1].text_frame
        body.text = f"{title} one"
        below = body.add_paragraph()
        below.text, below.level = f"{title} two", 1
    found = read_with(extract_pptx, saved(presentation))

    assert titles_of(found) == [(1, "Sales"), (1, "Outlook")]
    assert pages_of(found) == ["Sales\n\n- Sales one\n  - Sales two", "Outlook\n\n- Outlook one\n  - Outlook two"]
    assert found.title == "Year in review"


def test_shapes_come_row_by_row_whatever_was_drawn_first() -> None:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[_TITLE_ONLY])
    box(slide.shapes, "last", 1, 6)
    box(slide.shapes, "right", 6, 3.1)
    group = slide.shapes.add_group_shape()
    box(group.shapes, "grouped", 1, 4.5)
    box(slide.shapes, "left", 1, 3)
    slide.shapes.title.text = "Title"

    assert read_with(extract_pptx, saved(presentation)).text.split() == ["Title", "left", "right", "grouped", "last"]


def test_tables_charts_and_notes() -> None:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[_BLANK])
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for number, text in enumerate(("Part", "Price", "a|b", "4")):
        table.cell(number // 2, number % 2).text = text
    data = CategoryChartData()
    data.categories = ["2023", "2024"]
    data.add_series("Gauges", (3, 4.5))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.LINE, Inches(1), Inches(3), Inches(4), Inches(3), data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Sold"
    slide.notes_slide.notes_text_frame.text = "Mention the strike."
    found = read_with(extract_pptx, saved(presentation))

    assert tables_of(found) == [
        ("| Part | Price |\n| --- | --- |\n", "| a\\|b | 4 |"),
        ("|  | Gauges |\n| --- | --- |\n", "| 2023 | 3 |\n| 2024 | 4.5 |"),
    ]
    assert "Line chart: Sold" in found.text
    assert found.text.endswith("Notes: Mention the strike.")


def deck(*texts: str) -> bytes:
    presentation = pptx.Presentation()
    for text in texts:
        box(presentation.slides.add_slide(presentation.slide_layouts[_BLANK]).shapes, text, 1, 1)
    return saved(presentation)


def test_a_broken_slide_costs_only_itself() -> None:
    def broken(name: str, content: bytes) -> bytes:
        return content[:300] if name == "ppt/slides/slide2.xml" else content

    found = read_with(extract_pptx, changed(deck("one", "two", "three"), broken))

    assert pages_of(found) == ["one", "", "three"]
    assert found.warnings == ("Slide 2 could not be read.",)


def test_a_missing_slide_costs_only_itself() -> None:
    data = changed(deck("one", "two"), lambda name, content: None if name == "ppt/slides/slide1.xml" else content)
    assert pages_of(read_with(extract_pptx, data)) == ["", "two"]


def test_no_readable_slide_is_a_damaged_presentation() -> None:
    data = changed(deck("one"), lambda name, content: b"<x" if name == "ppt/slides/slide1.xml" else content)
    with pytest.raises(ExtractionError) as caught:
        read_with(extract_pptx, data)
    assert caught.value.code is ExtractionCode.DAMAGED


def test_strict_files_are_read_like_others() -> None:
    def strict(_: str, content: bytes) -> bytes:
        for area in (b"presentationml", b"drawingml", b"officeDocument"):
            content = content.replace(
                b"http://schemas.openxmlformats.org/" + area + b"/2006/", b"http://purl.oclc.org/ooxml/" + area + b"/"
            )
        return content

    assert read_with(extract_pptx, changed(deck("one"), strict)).text == "one"


def test_open_document_presentations() -> None:
    names = {
        "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
        "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
        "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
        "presentation": "urn:oasis:names:tc:opendocument:xmlns:presentation:1.0",
    }
    spaces = " ".join(f'xmlns:{short}="{name}"' for short, name in names.items())
    content = f"""<office:document-content {spaces}><office:body><office:presentation>
      <draw:page><draw:frame><draw:text-box><text:p>We sold more.</text:p></draw:text-box></draw:frame>
        <draw:frame presentation:class="title"><draw:text-box><text:p>Sales</text:p></draw:text-box></draw:frame>
        <presentation:notes><draw:frame><draw:text-box><text:p>Smile.</text:p></draw:text-box></draw:frame>
        </presentation:notes></draw:page>
      <draw:page><draw:custom-shape><text:p>The end</text:p></draw:custom-shape></draw:page>
    </office:presentation></office:body></office:document-content>"""
    found = read_with(extract_odp, zipped({"content.xml": content}))

    assert titles_of(found) == [(1, "Sales")]
    assert pages_of(found) == ["Sales\n\nWe sold more.\n\nNotes: Smile.", "The end"]
