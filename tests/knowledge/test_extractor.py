"""Hostile documents fail in bounded time and memory, and harm nobody."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from services.knowledge_base.ingestion.extract.model import ContentLimits, ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extractor import ExtractionLimits, Extractor
from tests.knowledge import files

CODE = ExtractionCode
LINE = b"BT /F 12 Tf 1 0 0 1 10 10 Tm (Hello there) Tj ET\n"


@pytest.fixture
def extractor() -> Extractor:
    return Extractor()


async def refusal(extractor: Extractor, data: bytes, name: str = "document") -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        await extractor.extract(data, name)
    return caught.value


def readers() -> list[psutil.Process]:
    """The processes that read a document: children of the one that makes them."""
    families = [child for child in psutil.Process().children() if "extract_child" in " ".join(child.cmdline())]
    return [reader for family in families for reader in family.children()]


async def test_a_document_comes_through_whole(extractor: Extractor) -> None:
    text = "Grüße, 世界! \U0001f600 " * 20_000
    found = await extractor.extract(f"# Title\n\n{text}".encode(), "a.md")

    assert found.text == f"# Title\n\n{text}".rstrip()
    assert [heading.title for heading in found.headings] == ["Title"]


@pytest.mark.parametrize(
    ("make", "codes"),
    [
        pytest.param(lambda: files.zip_bomb(250), {CODE.TOO_LARGE}, id="zip bomb"),
        pytest.param(lambda: files.zip_bomb(190), {CODE.TOO_HEAVY, CODE.TOO_SLOW}, id="zip bomb below the limit"),
        pytest.param(lambda: files.lying_zip(100), {CODE.DAMAGED}, id="zip that lies about its size"),
        pytest.param(files.entity_bomb, {CODE.DAMAGED}, id="entity bomb"),
        pytest.param(lambda: files.entity_bomb("utf-16"), {CODE.DAMAGED}, id="entity bomb in UTF-16"),
        pytest.param(
            lambda: files.word_of_xml(["<w:tbl><w:tr><w:tc>" * 50_000, "</w:tc></w:tr></w:tbl>" * 50_000]),
            {CODE.DAMAGED, CODE.TOO_HEAVY},
            id="nesting",
        ),
        pytest.param(
            lambda: files.pdf_of(
                [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000000>>"]
            ),
            {CODE.DAMAGED, CODE.TOO_LARGE},
            id="pages in a loop",
        ),
        pytest.param(
            files.pdf_that_draws_itself, {CODE.TOO_HEAVY, CODE.TOO_SLOW, CODE.NO_TEXT}, id="drawing in a loop"
        ),
        pytest.param(lambda: files.pdf_with_content(LINE * 3_000_000), {CODE.TOO_HEAVY, CODE.TOO_SLOW}, id="PDF bomb"),
        pytest.param(lambda: b"a b " * 12_500_000, {CODE.TOO_LARGE}, id="50 MB in a line"),
    ],
)
async def test_hostile_documents_fail_in_time(
    extractor: Extractor, make: Callable[[], bytes], codes: set[ExtractionCode]
) -> None:
    data = await asyncio.to_thread(make)
    started = time.monotonic()
    error = await refusal(extractor, data)

    assert error.code in codes
    assert time.monotonic() - started < 30
    assert (await extractor.extract(b"and the next one is read", "a.txt")).text == "and the next one is read"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_entities_bring_in_no_file(extractor: Extractor, tmp_path: Path, encoding: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret word")
    try:
        text = (await extractor.extract(files.foreign_entity(str(secret), encoding), "a.docx")).text
    except ExtractionError as error:
        text = error.message
    assert "secret word" not in text


async def test_a_reader_that_hangs_is_stopped_with_all_it_started() -> None:
    extractor = Extractor(ExtractionLimits(wall_seconds=1.0))
    await extractor.extract(b"the family comes up", "a.txt")

    error = await refusal(extractor, files.zip_bomb(100))

    assert error.code is CODE.TOO_SLOW
    assert not readers()


async def test_processor_time_is_bounded() -> None:
    error = await refusal(Extractor(ExtractionLimits(cpu_seconds=1)), files.zip_bomb(100))
    assert error.code is CODE.TOO_SLOW


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    limits = ExtractionLimits(answer_bytes=100_000, content=ContentLimits(characters=10_000_000))
    error = await refusal(Extractor(limits), b"x" * 1_000_000)
    assert error.code is CODE.TOO_LARGE


async def test_cancelling_stops_the_reader() -> None:
    extractor = Extractor()
    task = asyncio.create_task(extractor.extract(await asyncio.to_thread(files.zip_bomb, 50), "a.docx"))
    while not readers():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not readers()
