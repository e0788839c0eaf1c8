"""Files made to do harm: each fails in time and says why, or gives text, and nothing of it is left."""

import asyncio
import contextlib
import os
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import psutil
import pytest

from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extractor import Extractor
from tests.knowledge import files, hostile
from tests.knowledge.test_reader_cage import listener

CODE = ExtractionCode
GIVES_UP = {CODE.DAMAGED, CODE.TOO_LARGE, CODE.TOO_SLOW, CODE.TOO_HEAVY, CODE.NO_TEXT, CODE.UNSUPPORTED}
IN_TIME = 30
MUTATIONS = 24
A_MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
async def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    """No process, no file, no memory; and the next document is read."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    extractor = Extractor()
    await extractor.extract(b"x" * A_MEGABYTE, "a.txt")
    before = psutil.Process().memory_info().rss
    yield
    assert (await extractor.extract(b"and the next one is read", "a.txt")).text == "and the next one is read"
    assert not [reader for child in psutil.Process().children() for reader in child.children()]
    assert not os.listdir(tmp_path)
    assert psutil.Process().memory_info().rss - before < 250 * A_MEGABYTE


async def outcome(data: bytes, name: str = "document") -> ExtractionCode | str:
    """Why there is no text, or the text."""
    started = time.monotonic()
    try:
        found: ExtractionCode | str = (await Extractor().extract(data, name)).text
    except ExtractionError as error:
        found = error.code if error.message.endswith(".") else "no sentence"
    assert time.monotonic() - started < IN_TIME
    return found


CORPUS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "workbook that inflates": ("a.xlsx", lambda: hostile.inflating("xlsx", 100)),
    "text that inflates": ("a.odt", lambda: hostile.inflating("odt", 190)),
    "tables that inflate": ("a.ods", lambda: hostile.inflating("ods", 190)),
    "workbook past the limit": ("a.xlsx", lambda: hostile.inflating("xlsx", 250)),
    "pages that refer to themselves": (
        "a.pdf",
        lambda: files.pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000000>>"]),
    ),
    "a table of contents that refers back": ("a.pdf", hostile.pdf_that_refers_back),
    "a page count": (
        "a.pdf",
        lambda: files.pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 2147483647>>"]),
    ),
    "an image of a PDF": ("a.pdf", lambda: hostile.pdf_with_image(100_000, 100_000)),
    "arrays in arrays": (
        "a.pdf",
        lambda: hostile.pdf_of_page(b"/X " + b"[" * 500_000, content=b"[" * 500_000 + b"<<" * 500_000),
    ),
    "pixels of a PNG": ("a.png", lambda: hostile.png(60_000, 60_000)),
    "pixels of a JPEG": ("a.jpg", lambda: hostile.jpeg(65_535, 65_535)),
    "pixels of a TIFF": ("a.tiff", lambda: hostile.tiff(2**31, 2**31)),
    "TIFF pages in a circle": ("a.tiff", lambda: hostile.tiff(100, 100, following=8)),
    "nested RTF": ("a.rtf", lambda: rb"{\rtf1 " + b"{" * 100_000 + b"x" + b"}" * 100_001),
    "nested HTML": ("a.html", lambda: hostile.html("<div>" * 100_000 + "x" + "</div>" * 100_000)),
    "nested tables in HTML": ("a.html", lambda: hostile.html("<table><tr><td>" * 100_000)),
    "nested mails": ("a.eml", lambda: hostile.mail_in_mail(100_000)),
    "nested parts of a mail": ("a.eml", lambda: hostile.multiparts(100_000)),
    "parts of a mail": ("a.eml", lambda: hostile.many_parts(100_000)),
    "header of a mail": (
        "a.eml",
        lambda: hostile.eml().replace(b"Subject: x", b"Subject: " + b"=?utf-8?q?a?= " * 20_000),
    ),
    "a line of separated values": ("a.csv", lambda: b"a," * 50 * A_MEGABYTE),
    "quotes of separated values": ("a.csv", lambda: b'"' * 5 * A_MEGABYTE),
    "an endless field": ("a.csv", lambda: b'a,b\n"' + b"x,\n" * 5 * A_MEGABYTE),
    "spaces": ("a.txt", lambda: (b" " * 100_000 + b"x") * 60),
    "stars": ("a.md", lambda: b"*" * 500_000 + b"_" * 500_000),
    "brackets": ("a.md", lambda: b"[" * 500_000 + b"](" * 500_000),
    "backticks": ("a.md", lambda: b"".join(b"`" * n + b" " for n in range(1500))),
    "pipes": ("a.md", lambda: b"|" * A_MEGABYTE + b"\n" + b"|-" * 500_000),
    "comments": ("a.html", lambda: hostile.html("<!--" * 300_000)),
    "tags": ("a.html", lambda: hostile.html("<a " * 300_000)),
    "entities": ("a.html", lambda: hostile.html("&" * A_MEGABYTE)),
    "braces": ("a.rtf", lambda: rb"{\rtf1 " + b"{\\*\\x" * 200_000),
    "marks of accents": ("a.txt", lambda: b"a" + "\u0301".encode() * 2 * A_MEGABYTE),
    "surrogates": ("a.html", lambda: hostile.html("&#xD800;&#0;&#x110000;" * 1000)),
}


@pytest.mark.parametrize("what", CORPUS)
async def test_it_gives_text_or_a_reason(what: str) -> None:
    name, make = CORPUS[what]
    found = await outcome(await asyncio.to_thread(make), name)
    assert found in GIVES_UP or isinstance(found, str)


@pytest.mark.parametrize("what", hostile.GOOD)
async def test_what_is_spoiled_below_is_good(what: str) -> None:
    found = await outcome(hostile.GOOD[what](), f"a.{what}")
    assert isinstance(found, str)
    assert "good" in found


@pytest.mark.parametrize("what", hostile.GOOD)
async def test_spoiled_files_give_text_or_a_reason(what: str) -> None:
    chance = random.Random(f"spoiled {what}")
    data = hostile.GOOD[what]()
    different = [spoiled for _ in range(MUTATIONS) if (spoiled := hostile.spoiled(data, chance)) != data]
    assert len(different) > MUTATIONS * 0.8
    found = await asyncio.gather(*(outcome(spoiled, f"a.{what}") for spoiled in different))
    assert all(isinstance(each, str) or each in GIVES_UP | {CODE.EMPTY, CODE.ENCRYPTED} for each in found)


@pytest.mark.parametrize("kind", hostile.XML_FORMATS)
async def test_entities_do_not_grow(kind: str) -> None:
    found = await outcome(hostile.XML_FORMATS[kind]("before &a9; after", hostile.laughs()), f"a.{kind}")
    assert not isinstance(found, str) or len(found) < 1000


@pytest.mark.parametrize("kind", hostile.XML_FORMATS)
async def test_entities_bring_in_nothing(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("ours") / "entity"
    secret.write_text("the secret word")
    with listener() as (port, callers):
        for address in (f"http://127.0.0.1:{port}", f"ftp://127.0.0.1:{port}", f"file://{secret.parent}"):
            doctype = hostile.outside(address)
            found = await outcome(hostile.XML_FORMATS[kind]("before &a; after", doctype), f"a.{kind}")
            assert "secret word" not in found
        assert not callers


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\x\\y.md", "/etc/passwd", "a\x00b.md", "x" * 5000, "..", ""])
async def test_a_name_is_only_a_name(name: str) -> None:
    assert await outcome(b"only words", name) == "only words"


async def test_a_wrong_name_does_not_matter() -> None:
    for kind, make in hostile.GOOD.items():
        if kind not in ("txt", "md", "csv"):
            for name in ("a.pdf", "a.docx", "a.exe", "a"):
                found = await outcome(make(), name)
                assert isinstance(found, str), (kind, name, found)
                assert "good" in found


async def test_many_at_once_leave_nothing() -> None:
    """Also when most are given up on."""
    data = await asyncio.to_thread(files.zip_bomb, 60)
    tasks = [asyncio.create_task(Extractor().extract(data, "a.docx")) for _ in range(6)]
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, ExtractionError):
            await task
