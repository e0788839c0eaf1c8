"""What is written in images is read where tesseract is installed, and said where it is not."""

import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from services.knowledge_base.ingestion.extract.model import (
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Heading,
    Part,
    Table,
)
from services.knowledge_base.ingestion.extractor import Extractor
from services.knowledge_base.ingestion.ocr import Ocr, OcrLimits, with_ocr
from tests.knowledge import hostile

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
CODE = ExtractionCode
PROSE = (
    "A harbour master keeps a book of ships. Every vessel that comes in is written down with its name. "
    "Beside the name stands the day on which it came. The cargo is weighed before anybody may unload it. "
    "Storms are recorded too, with the hour they began. Nobody leaves the quay before noon without a paper. "
    "Lamps are lit at dusk along the whole pier. The book is read aloud once a year in spring"
)


def picture(words: str, *, turned: int = 0) -> Image.Image:
    image = Image.new("L", (1400, 700), 255)
    drawing = ImageDraw.Draw(image)
    for line in range(4):
        drawing.text((60, 80 + line * 140), words, font=ImageFont.load_default(64), fill=0)
    return image.rotate(turned, expand=True)


def saved(image: Image.Image, kind: str, *more: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({"save_all": True, "append_images": more} if more else {}))
    return out.getvalue()


async def recognised(data: bytes, tmp_path: Path, ocr: Ocr | None = None) -> Extracted:
    file = tmp_path / "file"
    file.write_bytes(data)
    extracted = await Extractor().extract(file, "document")
    pages = extracted.images_only
    texts = {page: text async for page, text in (ocr or Ocr()).read(file, "document", pages, languages="eng")}
    assert set(texts) == set(pages)
    return with_ocr(extracted, texts)


@needs_tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PDF"])
async def test_images_are_read(kind: str, tmp_path: Path) -> None:
    found = await recognised(saved(picture("The quick brown fox"), kind), tmp_path)
    assert found.text.count("quick brown fox") == 4
    assert found.images_only == ()


@needs_tesseract
@pytest.mark.parametrize("turned", [90, 180, 270])
async def test_turned_pages_are_read(turned: int, tmp_path: Path) -> None:
    page = Image.new("L", (1700, 2200), 255)
    for line, words in enumerate(PROSE.split(". ")):
        ImageDraw.Draw(page).text((100, 100 + line * 90), words, font=ImageFont.load_default(44), fill=0)
    found = await recognised(saved(page.rotate(turned, expand=True), "PDF"), tmp_path)
    words = PROSE.replace(".", "").split()
    assert sum(word in found.text for word in words) > 0.9 * len(words)


@needs_tesseract
@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
async def test_each_page_has_its_own_text(kind: str, tmp_path: Path) -> None:
    data = saved(picture("First page of it"), kind, picture("Second page of it"))
    found = await recognised(data, tmp_path)
    first, second = found.pages
    assert "First" in found.text[first:second]
    assert "Second" in found.text[second:]
    assert "First" not in found.text[second:]


@needs_tesseract
async def test_pictures_of_an_office_file_are_read(tmp_path: Path) -> None:
    image = saved(picture("The quick brown fox"), "PNG")
    parts = {"word/media/image1.png": image}
    found = await recognised(_with(hostile.docx(""), parts), tmp_path)
    assert "quick brown fox" in found.text


def _with(data: bytes, parts: dict[str, bytes]) -> bytes:
    import zipfile  # noqa: PLC0415

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return hostile.package({**{name: archive.read(name) for name in archive.namelist()}, **parts})


@needs_tesseract
async def test_a_page_that_takes_too_long_is_left_empty(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(saved(picture("The quick brown fox"), "PNG"))
    ocr = Ocr(limits=OcrLimits(wall_seconds=0.05))
    assert [text async for _, text in ocr.read(file, "a", [1], languages="eng")] == [""]


@needs_tesseract
async def test_a_language_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExtractionError, match="tlh") as caught:
        _ = [page async for page in Ocr().read(tmp_path, "a", [1], languages="tlh")]
    assert caught.value.code is CODE.OCR_MISSING
    with pytest.raises(ExtractionError):
        _ = [page async for page in Ocr().read(tmp_path, "a", [1], languages="--help")]


@needs_tesseract
@pytest.mark.parametrize("data", [hostile.png(5000, 5000), hostile.pdf_with_image(100_000, 100_000)])
async def test_what_cannot_be_decoded_leaves_nothing(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    assert [text async for _, text in Ocr().read(file, "a", [1, 2], languages="eng")] == ["", ""]
    assert os.listdir(tmp_path) == ["file"]


async def test_without_tesseract_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ocr = Ocr()
    assert not ocr.installed
    assert ocr.languages == ()
    with pytest.raises(ExtractionError, match="tesseract") as caught:
        _ = [page async for page in ocr.read(tmp_path, "a", [1], languages="eng")]
    assert caught.value.code is CODE.OCR_MISSING


MIXED = Extracted(
    DocumentFormat.PDF,
    "one\n\n\n\nthree | a |\n\n",
    pages=(0, 5, 7),
    headings=(Heading(1, "one", 0), Heading(1, "three", 7)),
    tables=(Table(13, 13, 18),),
    parts=(Part("three", 7),),
    warnings=("before",),
    images_only=(2,),
)


def test_offsets_move_with_what_is_put_in() -> None:
    found = with_ocr(MIXED, {2: " two \n"})
    assert [found.text[one:other] for one, other in zip(found.pages, (*found.pages[1:], None), strict=True)] == [
        "one\n\n", "\n\ntwo\n\n", "three | a |\n\n",
    ]  # fmt: skip
    assert [found.text[heading.start :].startswith(heading.title) for heading in found.headings] == [True, True]
    assert [found.text[table.start : table.end] for table in found.tables] == ["| a |"]
    assert found.text[found.parts[0].start :].startswith("three")
    assert (found.images_only, found.warnings) == ((), ("before",))


def test_pages_without_a_word_are_named() -> None:
    found = with_ocr(MIXED, {2: ""})
    assert found.text == MIXED.text
    assert found.images_only == (2,)
    assert "2" in found.warnings[-1]


def test_a_document_without_a_word_has_no_text() -> None:
    with pytest.raises(ExtractionError) as caught:
        with_ocr(replace(MIXED, text="\n\n", pages=(0,), headings=(), tables=(), parts=(), images_only=(1,)), {1: " "})
    assert caught.value.code is CODE.NO_TEXT
