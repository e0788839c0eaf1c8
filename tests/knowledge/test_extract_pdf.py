"""PDF beyond its plain text: protection, images, forms, remarks, columns, headings without an outline."""

import hashlib
from collections.abc import Iterable

import pytest

from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extract.pdf import extract_pdf
from tests.knowledge import files
from tests.knowledge.readers import pages_of, read_with, titles_of

Placed = tuple[int, int, int, str]  # from the left, from the bottom, the size of the type, the text
_FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
_IMAGE = (
    b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>"
    b"stream\n0\nendstream"
)
_DRAW_IMAGE = b" q %d 0 0 %d 0 0 cm /I Do Q"


def drawn(texts: Iterable[Placed], image: tuple[int, int] | None = None) -> bytes:
    content = b"".join(
        b"BT /F %d Tf %d %d Td (%b) Tj ET\n" % (size, left, bottom, text.encode()) for left, bottom, size, text in texts
    )
    return content + (_DRAW_IMAGE % image if image else b"")


def pdf(
    *contents: bytes, catalog: bytes = b"", page: bytes = b"", info: bytes = b"", more: Iterable[bytes] = ()
) -> bytes:
    """Pages with these contents; objects 4 and 5 are its image and what it says of itself, `more` begins with 6."""
    extra = list(more)
    first = 6 + len(extra)
    kids = b" ".join(b"%d 0 R" % (first + 2 * number) for number in range(len(contents)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R%b>>" % catalog,
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(contents)),
        _FONT,
        _IMAGE,
        b"<<%b>>" % info,
        *extra,
    ]
    for number, content in enumerate(contents):
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>/XObject<</I 4 0 R>>>>"
            b"/Contents %d 0 R%b>>" % (first + 2 * number + 1, page),
            b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        ]
    return files.pdf_of(objects).replace(b"/Root 1 0 R", b"/Root 1 0 R/Info 5 0 R")


def test_pages_of_nothing_but_images_are_named() -> None:
    found = read_with(
        extract_pdf,
        pdf(
            drawn([], image=(600, 800)),
            drawn(
                [(20, 700, 12, "Text beside a picture, long enough to be what the page is about.")], image=(600, 800)
            ),
            drawn([]),
            drawn([(20, 20, 8, "Scanned with a phone")], image=(600, 800)),
            drawn([(20, 20, 8, "Short, with a logo")], image=(60, 80)),
        ),
    )
    assert found.images_only == (1, 4)
    assert len(found.pages) == 5


def test_title_and_date_are_those_of_the_document() -> None:
    def of(info: bytes) -> tuple[str | None, str | None]:
        found = read_with(extract_pdf, pdf(drawn([(20, 700, 12, "x")]), info=info))
        return found.title, found.dated_at

    assert of(b"/Title(Handbook)/CreationDate(D:20240506070809+02'00')") == ("Handbook", "2024-05-06T05:08:09Z")
    assert of(b"/Title(Microsoft Word - Handbook)/ModDate(D:20240506)") == ("Handbook", "2024-05-06T00:00:00Z")
    assert of(b"/Title(scan0001.tif)/CreationDate(D:20249906)") == (None, None)


def test_what_was_filled_in_and_remarked_is_read() -> None:
    fields = (
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/TU(Your name)/V(Ann)/Rect[0 0 9 9]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Btn/T(agrees)/V/Yes/AS/Yes/AP<</N<</Yes 4 0 R>>>>/Rect[9 0 18 9]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(empty)/Rect[0 9 9 18]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Tx/Ff 8192/T(pin)/V(1234)/Rect[0 9 9 18]>>",
        b"<</Type/Annot/Subtype/Text/Contents(Check this.)/Rect[0 9 9 18]>>",
    )
    data = pdf(
        drawn([(20, 700, 12, "Form")]),
        catalog=b"/AcroForm<</Fields[6 0 R 7 0 R 8 0 R 9 0 R]>>",
        page=b"/Annots[6 0 R 7 0 R 8 0 R 9 0 R 10 0 R]",
        more=fields,
    )
    assert read_with(extract_pdf, data).text.split("\n") == [
        *("Form", "", "Your name: Ann", "[x] agrees", "", "Comment: Check this.", "", ""),
    ]


_LEFT = [
    *("The quick brown fox jumps over the", "lazy dog and then he goes on home", "to sleep for a very long time in"),
    *("his old bed until the morning sun", "comes up again over the long hills", "and wakes him for another long day"),
    "of jumping over things that lie",
]
_RIGHT = [
    *("Another column tells us all about", "the price of tea in China, which it", "says went up by a lot more in the"),
    *("last year of the war than in any", "year before it, as everyone says", "who drinks it or sells it on some"),
    "market in the south of the land",
]


def line_by_line(left: list[str], right: list[str]) -> list[Placed]:
    pairs = enumerate(zip(left, right, strict=True))
    return [
        placed
        for number, (one, other) in pairs
        for placed in ((40, 700 - 15 * number, 12, one), (320, 700 - 15 * number, 12, other))
    ]


def test_columns_drawn_across_are_read_one_after_the_other() -> None:
    above, below = (
        (40, 740, 12, "A headline across the whole page, above both of its columns"),
        (40, 500, 12, "A last line across the page, which ends what both of the columns say"),
    )
    found = read_with(extract_pdf, pdf(drawn([above, *line_by_line(_LEFT, _RIGHT), below])))

    lines = [line for line in found.text.split("\n") if line]
    assert lines == [above[3], *_LEFT, *_RIGHT, below[3]]


def test_rows_of_a_table_stay_rows() -> None:
    names, prices = [f"part number {number}" for number in range(9)], [f"{number}.50 EUR" for number in range(9)]
    found = read_with(extract_pdf, pdf(drawn(line_by_line(names, prices))))
    assert found.text.split("\n")[3] == "part number 3 3.50 EUR"


def page_of_text(heading: Placed, number: int) -> bytes:
    body = [(40, 600 - 15 * line, 11, f"This is line {line} of the text of page {number}.") for line in range(12)]
    return drawn([(40, 780, 18, "ACME Handbook"), heading, *body])


def test_headings_are_what_stands_in_larger_type_and_not_on_every_page() -> None:
    found = read_with(
        extract_pdf,
        pdf(*(page_of_text((40, 650, 16 if n % 2 else 14, f"Chapter {'ABCDEF'[n]}"), n) for n in range(6))),
    )
    assert titles_of(found) == [(1 if letter in "BDF" else 2, f"Chapter {letter}") for letter in "ABCDEF"]


def test_an_outline_says_better_what_is_a_heading() -> None:
    data = files.pdf("Introduction. First", "Results: second", outline=[("Results", 2)])
    assert titles_of(read_with(extract_pdf, data)) == [(1, "Results")]


_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def protected_pdf(text: str, user: bytes) -> bytes:
    """By the first of PDF's ways: 40 bits, RC4."""
    owner = _rc4(_md5((b"owner" + _PAD)[:32])[:5], (user + _PAD)[:32])
    key = _md5((user + _PAD)[:32] + owner + (-4).to_bytes(4, "little", signed=True))[:5]
    content = drawn([(20, 700, 12, text)])
    sealed = _rc4(_md5(key + (5).to_bytes(3, "little") + b"\0\0")[:10], content)
    data = files.pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
            _FONT,
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>/Contents 5 0 R>>",
            b"<</Length %d>>stream\n%b\nendstream" % (len(sealed), sealed),
        ]
    )
    lock = b"<</Filter/Standard/V 1/R 2/P -4/O<%b>/U<%b>>>" % (
        owner.hex().encode(),
        _rc4(key, _PAD).hex().encode(),
    )
    return data.replace(b"/Root 1 0 R", b"/Root 1 0 R/Encrypt " + lock + b"/ID[<><>]")


def test_a_password_opens_a_protected_document() -> None:
    assert pages_of(read_with(extract_pdf, protected_pdf("secret", b"sesame"), password="sesame")) == ["secret"]
    assert pages_of(read_with(extract_pdf, protected_pdf("secret", b"sesame"), password="owner")) == ["secret"]


def test_one_that_only_its_owner_may_change_is_open_to_read() -> None:
    assert pages_of(read_with(extract_pdf, protected_pdf("open", b""))) == ["open"]


@pytest.mark.parametrize(
    ("password", "code"), [(None, ExtractionCode.ENCRYPTED), ("wrong", ExtractionCode.PASSWORD_WRONG)]
)
def test_without_its_password_it_stays_closed(password: str | None, code: ExtractionCode) -> None:
    with pytest.raises(ExtractionError) as caught:
        read_with(extract_pdf, protected_pdf("secret", b"sesame"), password=password)
    assert caught.value.code is code
