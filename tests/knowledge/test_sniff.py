"""What a file is, told from what is in it."""

import io

import pytest

from services.knowledge_base.ingestion.extract.model import DocumentFormat, ExtractionCode, ExtractionError, Source
from services.knowledge_base.ingestion.extract.sniff import HEAD, check_head, sniff
from tests.knowledge import hostile

FORMATS = {
    **dict.fromkeys(("xlsx", "ods"), DocumentFormat.SHEETS),
    "txt": DocumentFormat.TEXT,
    "md": DocumentFormat.MARKDOWN,
}


def format_of(data: bytes, name: str) -> DocumentFormat:
    return sniff(Source(io.BytesIO(data), name))


def refusal(data: bytes, name: str = "document") -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        format_of(data, name)
    return caught.value


@pytest.mark.parametrize("kind", hostile.GOOD)
def test_every_format_is_told(kind: str) -> None:
    expected = FORMATS.get(kind) or DocumentFormat(kind)
    data = hostile.GOOD[kind]()
    assert format_of(data, f"a.{kind}") is expected
    assert check_head(data[:HEAD], f"a.{kind}") in (expected, None)


@pytest.mark.parametrize("kind", sorted(set(hostile.GOOD) - {"txt", "md", "csv"}))
def test_a_name_decides_only_between_kinds_of_text(kind: str) -> None:
    for name in ("a", "a.md", "a.csv", "a.exe"):
        assert format_of(hostile.GOOD[kind](), name) is (FORMATS.get(kind) or DocumentFormat(kind))


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"From: HR\nTo: All\nSubject: Holidays\n\nWe are closed.", "memo.txt", DocumentFormat.TEXT),
        (b"From: HR\nTo: All\nSubject: Holidays\n\nWe are closed.", "memo.eml", DocumentFormat.EML),
        (b"From Russia with love: 1963\nis a film.", "a.txt", DocumentFormat.TEXT),
        (b"The header of a PDF is %PDF-1.7.", "a.md", DocumentFormat.MARKDOWN),
        (b"MZ is what programs begin with. BM, images.", "a.txt", DocumentFormat.TEXT),
        (b"BMW makes cars.", "a.txt", DocumentFormat.TEXT),
        (b"<p>a page without a head</p>", "a.html", DocumentFormat.HTML),
        (b"a < b, so to say", "a.html", DocumentFormat.TEXT),
        (b"\xef\xbb\xbf  <!-- x -->\n<!DOCTYPE HTML><title>x</title>", "a", DocumentFormat.HTML),
        ("<html><body>x</body></html>".encode("utf-16"), "a", DocumentFormat.HTML),
        ("a,b\n1,2\n".encode("utf-16"), "a.csv", DocumentFormat.CSV),
        (b"a\tb\n", "a.tsv", DocumentFormat.CSV),
        (b"\n\n%PDF-1.4\n", "a", DocumentFormat.PDF),
        (b"\x00\x01junk%PDF-1.4\n", "a", DocumentFormat.PDF),
        (hostile.png(10, 10), "a.pdf", DocumentFormat.IMAGE),
        (hostile.jpeg(10, 10), "a", DocumentFormat.IMAGE),
        (hostile.tiff(10, 10), "a", DocumentFormat.IMAGE),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "a", DocumentFormat.IMAGE),
        (hostile.package({"a.txt": b"x"}), "a.docx", DocumentFormat.ZIP),
    ],
)
def test_hard_cases(data: bytes, name: str, expected: DocumentFormat) -> None:
    assert format_of(data, name) is expected


@pytest.mark.parametrize(
    ("data", "name", "what"),
    [
        (b"ID3\x03" + bytes(50), "a.mp3", "sound"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "a.wav", "sound"),
        (b"\x00\x00\x00\x18ftypM4A ", "a.m4a", "sound"),
        (b"\x00\x00\x00\x18ftypisom", "a.txt", "video"),
        (b"\x00\x00\x00\x18ftypheic", "a.heic", "image"),
        (b"\x7fELF\x02\x01" + bytes(50), "a.txt", "program"),
        (b"MZ\x90\x00\x03" + bytes(50), "a.docx", "program"),
        (b"\x01\x02\x03" * 50, "disk.iso", "disk"),
        (b"QFI\xfb" + bytes(50), "a", "disk"),
        (b"\x1f\x8b\x08" + bytes(50), "a.tar.gz", "archive"),
        (b"a/" + bytes(255) + b"ustar" + bytes(50), "a", "archive"),
        (hostile.package({"META-INF/MANIFEST.MF": b"x", "A.class": b"x"}), "a.jar", "program"),
        (hostile.package({"Index/Document.iwa": b"x"}), "a.pages", "Apple"),
        (hostile.package({"content.xml": b"x"}, first="application/vnd.oasis.opendocument.graphics"), "a", "drawing"),
    ],
)
def test_what_is_no_document_is_called_by_its_name(data: bytes, name: str, what: str) -> None:
    error = refusal(data, name)
    assert error.code is ExtractionCode.UNSUPPORTED
    assert what in error.message


@pytest.mark.parametrize("data", [b"", b" \n\t", b"\x00" * 3_000_000])
def test_nothing_is_empty(data: bytes) -> None:
    assert refusal(data).code is ExtractionCode.EMPTY
