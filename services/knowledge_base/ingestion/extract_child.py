"""The process in which one document is read: `python -m services.knowledge_base.ingestion.extract_child`.

Standard input: one line of JSON, the order (name, size, limits), then the document. Standard output: one line of
JSON. Then the process waits to be killed together with whatever it may have started. It bounds its memory and
processor time before it looks at the document, and gives up files and network before it reads it.
"""

import contextlib
import ctypes
import io
import json  # not orjson: it brings with it a quarter of what this process costs
import os
import resource
import signal
import sys
from typing import Any

from services.knowledge_base.ingestion.extract import read
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
)

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_USED_UP = 0.75
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


def main() -> None:
    answer_fd = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get into the answer
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    _bound(order["memory_bytes"], order["cpu_seconds"])
    answer = _answer(sys.stdin.buffer.read(order["size"]), order["name"], ContentLimits(**order["content"]))
    with contextlib.suppress(BrokenPipeError), os.fdopen(answer_fd, "wb") as pipe:
        pipe.write(answer + b"\n")
    sys.stdin.buffer.read()  # ends when the parent kills us, or dies


def _bound(memory_bytes: int, cpu_seconds: int) -> None:
    _limit(resource.RLIMIT_AS, memory_bytes, memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    _limit(resource.RLIMIT_CORE, 0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _isolate() -> None:
    """After the reader is imported, which opens files and may write their bytecode, and before it runs."""
    _limit(resource.RLIMIT_FSIZE, 0, 0)
    _limit(resource.RLIMIT_NOFILE, 64, 64)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Refused in some containers: there the network stays, but nothing in a document makes a reader use it.
        if libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _limit(kind: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(kind, (soft, hard))
    except (ValueError, OSError):
        if sys.platform == "linux":  # elsewhere some limits do not exist; the parent's clock still runs
            raise


def _answer(data: bytes, name: str, limits: ContentLimits) -> bytes:
    try:
        return _encoded(_read(data, name, limits))
    except MemoryError:
        return _encoded(_failure(ExtractionCode.TOO_HEAVY, "The document needs too much memory to be read."))


def _read(data: bytes, name: str, limits: ContentLimits) -> dict[str, Any]:
    try:
        source = Source(io.BytesIO(data), name)
        _isolate()
        return {"document": _as_json(read(source, limits))}
    except ExtractionError as error:
        return _failure(error.code, error.message)
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # whatever a reader stumbles over is the document's fault
        if _memory_is_used_up():  # libxml2 calls it a syntax error
            raise MemoryError from error
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return _failure(ExtractionCode.DAMAGED, "The document could not be read: it is damaged.")


def _memory_is_used_up() -> bool:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmPeak"))
    except (OSError, StopIteration):
        return False
    return peak > limit * _USED_UP


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def _failure(code: ExtractionCode, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _as_json(extracted: Extracted) -> dict[str, Any]:
    return {
        "format": extracted.format,
        "text": extracted.text,
        "pages": extracted.pages,
        "headings": [[heading.level, heading.title, heading.start] for heading in extracted.headings],
        "warnings": extracted.warnings,
    }


if __name__ == "__main__":
    main()
