"""Reads documents in processes of their own, so that no document can take a worker down, hang it or fill its memory."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

import orjson

from services.knowledge_base.ingestion.answer import pictured, understood
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    Extracted,
    ExtractionCode,
    ExtractionError,
)
from services.knowledge_base.ingestion.family import Family, Reader, Silence
from services.knowledge_base.ingestion.unpack import Entry, UnpackLimits, received

_CHILD = "services.knowledge_base.ingestion.extract_child"
# What the system's own limits and an out-of-memory allocator end a process with.
_TOO_SLOW_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGKILL})
_TOO_HEAVY_SIGNALS = frozenset({signal.SIGABRT, signal.SIGTRAP})
# An answer longer than this is understood by a thread.
_LONG = 262_144
_LINE = 4096


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """What reading one document may cost, and how many are read at a time."""

    memory_bytes: int = 768 * 1024 * 1024
    cpu_seconds: int = 20
    wall_seconds: float = 25.0
    answer_bytes: int = 64 * 1024 * 1024
    picture_bytes: int = 64 * 1024 * 1024
    at_once: int = 2
    content: ContentLimits = field(default_factory=ContentLimits)
    unpack: UnpackLimits = field(default_factory=UnpackLimits)


class Extractor:
    """`child` is the module whose processes read."""

    def __init__(self, limits: ExtractionLimits | None = None, *, child: str = _CHILD) -> None:
        self._limits = limits or ExtractionLimits()
        self._slots = asyncio.Semaphore(self._limits.at_once)
        self._family = _family(child)

    async def extract(
        self, document: Path | bytes, name: str, *, password: str | None = None, web: bool = False
    ) -> Extracted:
        """The document's text; raises `ExtractionError` when it cannot be had within the limits.

        An archive is only recognised: its format is `ZIP` and it has no text.
        """
        order = {"job": "extract", "name": name, "password": password, "web": web}
        async with self._reader(document, {**order, "content": asdict(self._limits.content)}) as reader:
            answer = await _whole(reader, self._limits.answer_bytes)
        if len(answer) > _LONG:
            return await asyncio.to_thread(understood, answer, self._limits.content)
        return understood(answer, self._limits.content)

    async def unpack(self, archive: Path, into: Path, *, password: str | None = None) -> list[Entry]:
        """The archive's files, written into this directory under names of our own.

        Raises `ExtractionError`; what was written until then is the caller's to remove, with the directory.
        """
        limits = self._limits.unpack
        order = {"job": "unpack", "name": "", "password": password, "limits": asdict(limits)}
        async with self._reader(archive, order) as reader:
            return await received(reader, into, limits)

    async def picture(
        self, document: Path, name: str, page: int, into: BinaryIO, *, password: str | None = None
    ) -> int | None:
        """Writes an image of this page, from 1; or says which page, from 0, of the document it is, an image itself."""
        order = {"job": "picture", "name": name, "password": password, "page": page}
        async with self._reader(document, order) as reader:
            line = await reader.line(_LINE)
            found = pictured(line)
            if found.size is None:
                return found.page
            if found.size > self._limits.picture_bytes:
                raise ExtractionError(ExtractionCode.TOO_LARGE, "The image is too large to be read.")
            async for piece in reader.exactly(found.size):
                found.size -= len(piece)
                await asyncio.to_thread(into.write, piece)
            if found.size:
                raise Silence
        return None

    @asynccontextmanager
    async def _reader(self, document: Path | bytes, order: Mapping[str, object]) -> AsyncGenerator[Reader]:
        """One that works as ordered; a bad end of it is raised as what it says about the document."""
        bounds = {"memory_bytes": self._limits.memory_bytes, "cpu_seconds": self._limits.cpu_seconds}
        async with self._slots, _opened(document) as file:
            file.seek(0)
            try:
                async with asyncio.timeout(self._limits.wall_seconds):
                    async with self._family.reader(file) as reader:
                        await reader.order(orjson.dumps({**order, **bounds}))
                        try:
                            yield reader
                        except Silence:
                            raise _death(await reader.ended()) from None
            except TimeoutError:
                raise _too_slow() from None


async def _whole(reader: Reader, longest: int) -> bytes:
    heard = bytearray()
    while piece := await reader.piece():
        heard += piece
        if len(heard) > longest:
            raise ExtractionError(ExtractionCode.TOO_LARGE, "The document holds too much text.")
    if not heard.endswith(b"\n"):
        raise Silence
    return bytes(heard)


@asynccontextmanager
async def _opened(document: Path | bytes) -> AsyncGenerator[BinaryIO]:
    if isinstance(document, Path):
        file: BinaryIO = await asyncio.to_thread(document.open, "rb")
    else:
        file = await asyncio.to_thread(_stored, document)
    with file:
        yield file


def _stored(content: bytes) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed where it is used
    file.write(content)
    file.flush()
    return file


@cache
def _family(module: str) -> Family:
    """One for all of a process."""
    return Family(module)


def _death(returncode: int | None) -> Exception:
    if returncode is None or returncode >= 0:
        return RuntimeError(f"The document reader ended by itself ({returncode=}).")
    if -returncode in _TOO_SLOW_SIGNALS:
        return _too_slow()
    if -returncode in _TOO_HEAVY_SIGNALS:
        return ExtractionError(ExtractionCode.TOO_HEAVY, "The document needs too much memory to be read.")
    return ExtractionError(ExtractionCode.DAMAGED, "The document could not be read: it is damaged.")


def _too_slow() -> ExtractionError:
    return ExtractionError(ExtractionCode.TOO_SLOW, "Reading the document took too long.")
