"""Reads documents in child processes, so that no document can take a worker down, hang it or fill its memory."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import orjson
from pydantic import BaseModel, Field, ValidationError

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Heading,
)

_ROOT = Path(__file__).resolve().parents[3]
_CHILD = "services.knowledge_base.ingestion.extract_child"
# What the system's own limits and an out-of-memory allocator end a process with.
_TOO_SLOW_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGKILL})
_TOO_HEAVY_SIGNALS = frozenset({signal.SIGABRT, signal.SIGTRAP})


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """What reading one document may cost, and how many are read at a time."""

    memory_bytes: int = 768 * 1024 * 1024
    cpu_seconds: int = 20
    wall_seconds: float = 25.0
    answer_bytes: int = 64 * 1024 * 1024
    at_once: int = 2
    content: ContentLimits = field(default_factory=ContentLimits)


class Extractor:
    def __init__(self, limits: ExtractionLimits | None = None) -> None:
        self._limits = limits or ExtractionLimits()
        self._slots = asyncio.Semaphore(self._limits.at_once)

    async def extract(self, content: bytes, name: str) -> Extracted:
        """The document's text; raises `ExtractionError` when it cannot be had within the limits."""
        async with self._slots:
            return _understood(await self._answer(content, name))

    async def _answer(self, content: bytes, name: str) -> bytes:
        child, conversation = await asyncio.get_running_loop().subprocess_exec(
            partial(_Conversation, self._limits.answer_bytes),
            sys.executable, "-m", _CHILD,
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=_ROOT, env=_environment(), start_new_session=True,
        )  # fmt: skip
        try:
            pipe = cast(asyncio.WriteTransport, child.get_pipe_transport(0))
            pipe.writelines((self._order(content, name), content))
            async with asyncio.timeout(self._limits.wall_seconds):
                return await conversation.answer
        except TimeoutError:
            raise _too_slow() from None
        finally:
            # Also after a good answer: the child waits for it, so the group's number is still its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.get_pid(), signal.SIGKILL)
            child.close()
            await conversation.ended

    def _order(self, content: bytes, name: str) -> bytes:
        order = {
            "name": name,
            "size": len(content),
            "memory_bytes": self._limits.memory_bytes,
            "cpu_seconds": self._limits.cpu_seconds,
            "content": asdict(self._limits.content),
        }
        return orjson.dumps(order) + b"\n"


def _environment() -> dict[str, str]:
    """None of ours: a document that takes over its reader finds no keys and no addresses there."""
    return {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8"}


class _Conversation(asyncio.SubprocessProtocol):
    """Hears one line from the child, and how it ends."""

    def __init__(self, limit: int) -> None:
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[bytes] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._limit = limit
        self._heard = bytearray()
        self._child: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._child = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self.answer.done():
            return
        self._heard += data
        if len(self._heard) > self._limit:
            self.answer.set_exception(ExtractionError(ExtractionCode.TOO_LARGE, "The document holds too much text."))
        elif data.endswith(b"\n"):
            self.answer.set_result(bytes(self._heard))

    def process_exited(self) -> None:
        self.ended.set_result(None)
        if not self.answer.done():
            assert self._child is not None
            returncode = self._child.get_returncode()
            self.answer.set_exception(_death(0 if returncode is None else returncode))


def _death(returncode: int) -> Exception:
    if returncode >= 0:
        return RuntimeError(f"The document reader ended by itself with exit code {returncode}.")
    if -returncode in _TOO_SLOW_SIGNALS:
        return _too_slow()
    if -returncode in _TOO_HEAVY_SIGNALS:
        return ExtractionError(ExtractionCode.TOO_HEAVY, "The document needs too much memory to be read.")
    return ExtractionError(ExtractionCode.DAMAGED, "The document could not be read: it is damaged.")


def _too_slow() -> ExtractionError:
    return ExtractionError(ExtractionCode.TOO_SLOW, "Reading the document took too long.")


class _Failure(BaseModel):
    code: ExtractionCode
    message: str = Field(max_length=500)


class _Document(BaseModel):
    format: DocumentFormat
    text: str
    pages: list[int]
    headings: list[tuple[int, str, int]]
    warnings: list[str]


class _Answer(BaseModel):
    document: _Document | None = None
    error: _Failure | None = None


def _understood(answer: bytes) -> Extracted:
    """A document may have taken its reader over, so the answer is read like any other input."""
    try:
        found = _Answer.model_validate_json(answer)
    except ValidationError:
        raise ExtractionError(ExtractionCode.DAMAGED, "The document could not be read: it is damaged.") from None
    if found.error:
        raise ExtractionError(found.error.code, found.error.message)
    if found.document is None or not _consistent(found.document):
        raise ExtractionError(ExtractionCode.DAMAGED, "The document could not be read: it is damaged.")
    document = found.document
    return Extracted(
        document.format,
        document.text,
        tuple(document.pages),
        tuple(Heading(level, title, start) for level, title, start in document.headings),
        tuple(document.warnings),
    )


def _consistent(document: _Document) -> bool:
    starts = [start for _, _, start in document.headings]
    return "\0" not in document.text and all(
        offsets == sorted(offsets) and offsets[0] >= 0 and offsets[-1] <= len(document.text)
        for offsets in (document.pages, starts)
        if offsets
    )
