"""Reads what is written in images, by tesseract where it is installed, page by page and each within limits."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import orjson

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.model import (
    Extracted,
    ExtractionCode,
    ExtractionError,
    Heading,
    Part,
    Table,
)
from services.knowledge_base.ingestion.extract.pictures import PICTURED
from services.knowledge_base.ingestion.extractor import Extractor

_LAUNCHER = Path(__file__).with_name("ocr_child.py")
_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,30}")
_ORIENTATION = "osd"
_TEXT_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class OcrLimits:
    """Of one page."""

    memory_bytes: int = 1024 * 1024 * 1024
    cpu_seconds: int = 24
    wall_seconds: float = 28.0
    at_once: int = 2


class Ocr:
    def __init__(self, extractor: Extractor | None = None, limits: OcrLimits | None = None) -> None:
        self._extractor = extractor or Extractor()
        self._limits = limits or OcrLimits()
        self._slots = asyncio.Semaphore(self._limits.at_once)

    @property
    def installed(self) -> bool:
        return shutil.which("tesseract") is not None

    @property
    def languages(self) -> tuple[str, ...]:
        """By the names that tesseract gives them: eng, deu, fra."""
        program = shutil.which("tesseract")
        return tuple(name for name in _languages(program) if name != _ORIENTATION) if program else ()

    async def read(
        self, path: Path, name: str, pages: Sequence[int], *, languages: str, password: str | None = None
    ) -> AsyncIterator[tuple[int, str]]:
        """The text of each of these pages; none for one that cannot be read.

        `languages` as tesseract has them: "deu+eng". Raises `ExtractionError` when none of them is installed.
        """
        program = shutil.which("tesseract")
        if program is None:
            raise missing()
        known = await asyncio.to_thread(_languages, program)
        chosen = _chosen(languages, known)
        mode = "1" if _ORIENTATION in known else "3"
        for page in pages:
            try:
                async with self._slots, self._picture(path, name, page, password) as (file, index):
                    text = await self._recognised(
                        (program, "stdin", "stdout", "-l", chosen, "--psm", mode, "--dpi", "300",
                         "-c", f"tessedit_page_number={index}"),
                        file,
                    )  # fmt: skip
            except ExtractionError as error:
                if error.code in (ExtractionCode.ENCRYPTED, ExtractionCode.PASSWORD_WRONG):
                    raise
                text = ""
            yield page, text

    @asynccontextmanager
    async def _picture(
        self, path: Path, name: str, page: int, password: str | None
    ) -> AsyncGenerator[tuple[BinaryIO, int]]:
        """A file that tesseract reads, and which of its pages is meant."""
        with contextlib.ExitStack() as files:
            spare = files.enter_context(tempfile.TemporaryFile())
            index = await self._extractor.picture(path, name, page, spare, password=password)
            file = spare if index is None else files.enter_context(await asyncio.to_thread(path.open, "rb"))
            file.seek(0)
            yield file, index or 0

    async def _recognised(self, command: tuple[str, ...], image: BinaryIO) -> str:
        limits = orjson.dumps(
            {
                "memory_bytes": self._limits.memory_bytes,
                "cpu_seconds": self._limits.cpu_seconds,
                "data": os.environ.get("TESSDATA_PREFIX", ""),
            }
        ).decode()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_LAUNCHER), limits, *command,
            stdin=image, stdout=PIPE, stderr=DEVNULL, cwd="/", env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert child.stdout is not None
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                text = await _bounded(child.stdout)
                returncode = await child.wait()
        except TimeoutError:
            raise ExtractionError(ExtractionCode.TOO_SLOW, "Reading the image took too long.") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)
            await child.wait()
        if returncode:
            raise ExtractionError(ExtractionCode.DAMAGED, "The image could not be read.")
        return clean(text.decode("utf-8", "replace").replace("\f", "\n")).strip()


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    heard = bytearray()
    while piece := await stream.read(65_536):
        heard += piece
        if len(heard) > _TEXT_BYTES:
            raise ExtractionError(ExtractionCode.TOO_LARGE, "The image holds too much text.")
    return bytes(heard)


def missing() -> ExtractionError:
    return ExtractionError(
        ExtractionCode.OCR_MISSING,
        "The document has only images in it. Reading those needs tesseract, which is not installed here.",
    )


@lru_cache(maxsize=4)
def _languages(program: str) -> tuple[str, ...]:
    try:
        listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line for line in (line.strip() for line in listed.stdout.splitlines()) if _LANGUAGE.fullmatch(line))


def _chosen(languages: str, known: Sequence[str]) -> str:
    chosen = [name for name in languages.split("+") if name in known and _LANGUAGE.fullmatch(name)]
    if not chosen:
        raise ExtractionError(
            ExtractionCode.OCR_MISSING,
            f"Tesseract is installed without the language {languages[:60]}. It has {', '.join(known) or 'none'}.",
        )
    return "+".join(chosen)


def with_ocr(extracted: Extracted, texts: Mapping[int, str]) -> Extracted:
    """With what was recognised on its pages; raises NO_TEXT when there is no text even so.

    An Office file has its pictures' text at its end.
    """
    inserted = _insertions(extracted, {page: text for page, text in texts.items() if text.strip()})
    text = _inserted(extracted.text, inserted)
    if not text.strip():
        raise ExtractionError(
            ExtractionCode.NO_TEXT, "The document has only images in it, and no text was found there."
        )
    silent = tuple(page for page in extracted.images_only if not texts.get(page, "").strip())
    if extracted.format in PICTURED:  # most pictures in a text are of something
        silent = ()
    shift = _Shift(inserted)
    return replace(
        extracted,
        text=text,
        pages=tuple(
            start + sum(len(added) for page, place, added in inserted if page <= index and place <= start)
            for index, start in enumerate(extracted.pages)
        ),
        headings=tuple(Heading(found.level, found.title, shift(found.start)) for found in extracted.headings),
        tables=tuple(Table(shift(one.start), shift(one.header_end), shift(one.end)) for one in extracted.tables),
        parts=tuple(Part(part.name, shift(part.start)) for part in extracted.parts),
        warnings=(*extracted.warnings, *([_warning(silent)] if silent else [])),
        images_only=silent,
    )


def _insertions(extracted: Extracted, texts: Mapping[int, str]) -> list[tuple[int, int, str]]:
    """Page, place and text of each: at the end of its page."""
    ends = [] if extracted.format in PICTURED else [*extracted.pages[1:], len(extracted.text)]
    found: list[tuple[int, int, str]] = []
    for page in sorted(texts):
        place = ends[page - 1] if page <= len(ends) else len(extracted.text)
        lead = "\n\n" if extracted.format in PICTURED and extracted.text.strip() else ""
        found.append((page, place, f"{lead}{texts[page].strip()}\n\n"))
    return found


def _inserted(text: str, insertions: Sequence[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    done = 0
    for _, place, added in insertions:
        pieces += text[done:place], added
        done = place
    return "".join((*pieces, text[done:]))


class _Shift:
    """Where an offset is after the insertions."""

    def __init__(self, insertions: Sequence[tuple[int, int, str]]) -> None:
        self._places = [place for _, place, _ in insertions]
        self._added = [0]
        for _, _, added in insertions:
            self._added.append(self._added[-1] + len(added))

    def __call__(self, offset: int) -> int:
        return offset + self._added[bisect_right(self._places, offset)]


def _warning(pages: Sequence[int]) -> str:
    shown = ", ".join(str(page) for page in pages[:20]) + (" and others" if len(pages) > 20 else "")
    return f"No text was found in the images on these pages: {shown}."
