"""What comes out of documents: text, pages, headings, or a reason that says what is wrong."""

import io

import pytest

from services.knowledge_base.ingestion.extract import read
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
)
from tests.knowledge import files


def extract(data: bytes, name: str = "document", limits: ContentLimits | None = None) -> Extracted:
    return read(Source(io.BytesIO(data), name), limits or ContentLimits())


def refusal(data: bytes, name: str = "document", limits: ContentLimits | None = None) -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        extract(data, name, limits)
    return caught.value


PANGRAM = "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg"


@pytest.mark.parametrize(
    "data",
    [
        PANGRAM.encode(),
        PANGRAM.encode("utf-8-sig"),
        PANGRAM.encode("utf-16"),
        PANGRAM.encode("utf-16-le"),
        PANGRAM.encode("utf-16-be"),
        PANGRAM.encode("utf-32"),
        PANGRAM.encode("cp1252"),
    ],
)
def test_text_is_read_in_any_common_encoding(data: bytes) -> None:
    assert extract(data).text == PANGRAM


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n髙橋淳,35,名古屋", "cp932"),
        ("Широкая электрификация южных губерний даст мощный толчок подъёму сельского хозяйства.", "cp1251"),
        ("Portez ce vieux whisky au juge blond qui fume, à la fenêtre d'un café où l'été s'achève.", "cp1252"),
    ],
)
def test_old_encodings_are_recognised(text: str, encoding: str) -> None:
    assert extract(text.encode(encoding)).text == text


def test_a_few_broken_bytes_do_not_turn_utf8_into_something_else() -> None:
    text = extract(PANGRAM.encode() * 10 + b"\xff" + PANGRAM.encode()).text
    assert text.count(PANGRAM) == 11


def test_what_no_reader_sees_is_left_out() -> None:
    odd = "a\x00b\u00adc\ufeffd\r\ne  \r\n\r\n\r\n\r\n\r\nf\x0c"
    assert extract((odd + "x" * 200).encode()).text == "abcd\ne\n\n\nf\n" + "x" * 200


def test_markdown_headings_are_found_where_they_stand() -> None:
    source = "---\ntitle: x\n---\n# One *two*\n\ntext\n\nThree\n=====\n\n"
    source += "```\n# no heading\n```\n\n### [Four](http://x) ###\n"
    found = extract(source.encode(), "a.md")

    assert found.format is DocumentFormat.MARKDOWN
    assert [(heading.level, heading.title) for heading in found.headings] == [(1, "One two"), (1, "Three"), (3, "Four")]
    assert [found.text[heading.start :][:5] for heading in found.headings] == ["# One", "Three", "### ["]


def test_a_markdown_name_does_not_make_text_of_a_pdf() -> None:
    assert extract(files.pdf("Hello there"), "a.md").format is DocumentFormat.PDF
    assert extract(b"# Title", "a.pdf").format is DocumentFormat.TEXT


def test_pdf_pages_and_outline() -> None:
    found = extract(
        files.pdf("Introduction. First", "", "Results: second", outline=[("Introduction", 1), ("Results", 3)])
    )

    assert [found.text[page:][:5] for page in found.pages] == ["Intro", "\n\nRes", "Resul"]
    assert [(h.level, h.title, found.text[h.start :][:7]) for h in found.headings] == [
        (1, "Introduction", "Introdu"),
        (1, "Results", "Results"),
    ]


def test_word_paragraphs_headings_lists_and_tables_in_reading_order() -> None:
    found = extract(
        files.word(
            ("Title", "Handbook"),
            ("Heading 1", "Repairs"),
            ("Normal", "We repair."),
            ("List Bullet", "gauges"),
            ("List Bullet", "clocks"),
            ("Table", "Part|Price"),
            ("Heading 2", "Costs"),
        )
    )

    assert found.text == "Handbook\n\nRepairs\n\nWe repair.\n\n- gauges\n- clocks\n\n| Part | Price |\n\nCosts"
    assert [(heading.level, heading.title) for heading in found.headings] == [
        (0, "Handbook"),
        (1, "Repairs"),
        (2, "Costs"),
    ]
    assert found.text[found.headings[2].start :] == "Costs"


def test_word_leaves_out_what_was_deleted_and_takes_what_was_inserted() -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    deleted = "<w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
    body = f"<w:p>{run.format('kept ')}{deleted}<w:ins>{run.format('new')}</w:ins></w:p>"

    assert extract(files.word_of_xml([body])).text == "kept new"


def test_word_pages_are_where_word_last_broke_them() -> None:
    broken = "<w:p><w:r><w:t>one</w:t><w:lastRenderedPageBreak/><w:t>two</w:t></w:r></w:p>"
    found = extract(files.word_of_xml([broken, files.paragraph("three")]))

    assert [found.text[page:] for page in found.pages] == ["onetwo\n\nthree", "two\n\nthree"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ExtractionCode.EMPTY),
        (b" \n\x00\x00", ExtractionCode.EMPTY),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), ExtractionCode.DAMAGED),
        (b"\x7fELF" + bytes(100), ExtractionCode.UNSUPPORTED),
        (bytes(range(256)) * 20, ExtractionCode.UNSUPPORTED),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096), ExtractionCode.DAMAGED),
        (files.encrypted_office(), ExtractionCode.ENCRYPTED),
        (files.word(("Normal", "x"))[:2000], ExtractionCode.DAMAGED),
        (b"%PDF-1.7 this is no PDF", ExtractionCode.DAMAGED),
        (files.pdf("", ""), ExtractionCode.NO_TEXT),
        (files.word(("Normal", "")), ExtractionCode.NO_TEXT),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, code: ExtractionCode) -> None:
    error = refusal(data)
    assert error.code is code
    assert error.message.endswith(".")


def test_a_memo_is_no_mail() -> None:
    assert extract(b"From: HR\nTo: All\nSubject: Holidays\n\nWe are closed.").text.startswith("From: HR")


def test_limits_hold() -> None:
    assert refusal(b"x" * 101, limits=ContentLimits(characters=100)).code is ExtractionCode.TOO_LARGE
    assert refusal(files.pdf("a", "b"), limits=ContentLimits(pages=1)).code is ExtractionCode.TOO_LARGE
    assert refusal(files.zip_bomb(3), limits=ContentLimits(unpacked_bytes=1_000_000)).code is ExtractionCode.TOO_LARGE
