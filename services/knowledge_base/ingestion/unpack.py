"""The files of an archive, as a process that may not write sends them: here they are counted and written."""

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

from services.knowledge_base.ingestion.answer import failure
from services.knowledge_base.ingestion.extract.archive import UnpackLimits
from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError, damaged
from services.knowledge_base.ingestion.family import Reader, Silence

_FRAME = struct.Struct("=cI")
_FILE, _DATA, _END = b"F", b"D", b"E"
_FAILED = b"{"
_LONGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """`path` is inside the archive, cleaned; `file` is where its content is now."""

    path: str
    file: Path
    size: int


def send(answer: BinaryIO, files: Iterator[tuple[str, Iterator[bytes]]]) -> None:
    for name, content in files:
        _send(answer, _FILE, name.encode())
        for piece in content:
            _send(answer, _DATA, piece)
    _send(answer, _END, b"")


def _send(answer: BinaryIO, kind: bytes, data: bytes) -> None:
    answer.write(_FRAME.pack(kind, len(data)))
    answer.write(data)


async def received(reader: Reader, into: Path, limits: UnpackLimits) -> list[Entry]:
    """Raises `Silence` when it ends too early."""
    entries: list[Entry] = []
    name, total = "", 0
    file: BinaryIO | None = None
    try:
        while True:
            kind, size = await _frame(reader)
            if kind != _DATA and file:
                entries.append(Entry(name, Path(file.name), file.tell()))
                file.close()
                file = None
            if kind == _END:
                return entries
            if kind == _FILE:
                name = _checked((await _exactly(reader, size)).decode("utf-8", "replace"))
                if len(entries) >= limits.files:
                    _too_large()
                file = await asyncio.to_thread((into / f"{len(entries):05}").open, "xb")
                continue
            total += size
            if file is None or kind != _DATA:
                damaged("The archive is damaged.")
            if total > limits.total_bytes or file.tell() + size > limits.file_bytes:
                _too_large()
            await asyncio.to_thread(file.write, await _exactly(reader, size))
    finally:
        if file:
            file.close()


async def _frame(reader: Reader) -> tuple[bytes, int]:
    head = await _exactly(reader, _FRAME.size)
    if head.startswith(_FAILED):
        rest = [piece async for piece in reader.exactly(_LONGEST)]
        raise failure(head + b"".join(rest))
    kind, size = _FRAME.unpack(head)
    if size > _LONGEST:
        damaged("The archive is damaged.")
    return kind, size


async def _exactly(reader: Reader, size: int) -> bytes:
    data = b"".join([piece async for piece in reader.exactly(size)])
    if len(data) < size:
        raise Silence
    return data


def _checked(name: str) -> str:
    """It was cleaned already, by a process that the archive may have taken over."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or not name.isprintable():
        damaged("The archive is damaged.")
    return name


def _too_large() -> NoReturn:
    raise ExtractionError(ExtractionCode.TOO_LARGE, "The archive unpacks to more than it may.")
