"""The engine's port to a place where users' code runs apart from everything: bubblewrap.

In there are no network, no file of the machine but Python's own, no other process, no environment and nobody to
become. What the code may use is bounded. Where any of that cannot be had, nothing is run: there is no other way in
here than through bwrap.
"""

import asyncio
import contextlib
import json
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from services.orchestration.adapters.jail.root import Root, RootUnknown, confined, survey_root
from services.orchestration.adapters.jail.seccomp import filter_program
from services.orchestration.engine.ports import CallFailed, CodeReply, CodeRequest
from shared.kit.json import JsonObject

_MIB = 1024 * 1024
_READY = b"+"
_DYING = 2.0
_PRINTED_IN_ERRORS = 4000
# What the kernel ends a process with that has used up its CPU time, as bwrap tells it.
_CPU_SPENT = frozenset((128 + 24, 128 + 9))
_INSTALL = "install bubblewrap 0.7 or newer on the workers (Debian, Ubuntu: apt-get install bubblewrap)"
_ALLOW = "bwrap needs user namespaces, which this system or its container may have to allow"


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """What all code is held to; time and memory come with each request. Printed text above `printed_kept` is cut off,
    above `printed_bytes` the code is stopped."""

    at_once: int = 4
    value_bytes: int = _MIB
    printed_kept: int = 64 * 1024
    printed_bytes: int = _MIB
    tmp_bytes: int = 16 * _MIB


class BubblewrapSandbox:
    """Implements `ports.Sandbox`."""

    def __init__(self, limits: CodeLimits | None = None) -> None:
        self._limits = limits or CodeLimits()
        self._slots = asyncio.Semaphore(self._limits.at_once)
        self._root: Root | None = None

    async def run(self, request: CodeRequest) -> CodeReply:
        """Waits its turn first: that time is not the code's."""
        async with self._slots:
            ended = await self._converse(request)
        printed = _text(ended.printed, self._limits.printed_kept)
        return CodeReply(_value(ended, printed, request), printed)

    async def check(self) -> str | None:
        """What keeps code from being run here; None if nothing does."""
        try:
            await self.run(CodeRequest("def main(inputs):\n    return inputs", {}, timeout=30.0, memory_mb=128))
        except CallFailed as failure:
            return failure.message
        return None

    async def _converse(self, request: CodeRequest) -> "_Ended":
        bwrap, root, program = await self._means()
        limits = self._limits
        with _readable(program) as filter_fd:
            child, conversation = await self._start(confined(bwrap, root, filter_fd, limits.tmp_bytes), filter_fd)
        try:
            pipe = cast(asyncio.WriteTransport, child.get_pipe_transport(0))
            pipe.write(_order(request, limits))
            pipe.close()
            async with asyncio.timeout(request.timeout):
                return await conversation.ended
        except TimeoutError:
            printed = _text(conversation.printed, limits.printed_kept)
            raise _timeout(request, printed) from None
        finally:
            # Everything in there ends with bwrap: its first process is told by the kernel when its parent is gone.
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.close()
            await asyncio.wait((conversation.exited,), timeout=_DYING)

    async def _start(self, command: list[str], filter_fd: int) -> tuple[asyncio.SubprocessTransport, "_Conversation"]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.subprocess_exec(
                partial(_Conversation, self._limits),
                *command,
                stdin=PIPE, stdout=PIPE, stderr=PIPE, env={}, cwd="/", pass_fds=(filter_fd,),
            )  # fmt: skip
        except OSError as error:
            raise _missing(f"bwrap could not be started ({error.strerror})", _INSTALL) from None

    async def _means(self) -> tuple[str, Root, bytes]:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise _missing("bwrap is not on the PATH", _INSTALL)
        program = filter_program()
        if program is None:
            raise _missing("system calls of this kind of machine are not known", "run workers on x86_64 or aarch64")
        if self._root is None:
            try:
                self._root = await survey_root()
            except RootUnknown as unknown:
                raise _missing(str(unknown), "use a Python that has its whole standard library") from None
        return bwrap, self._root, program


@contextlib.contextmanager
def _readable(content: bytes) -> Generator[int]:
    """A file from which `content`, far less than a pipe holds, can be read once by a child that is told its number."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)
        yield reading
    finally:
        os.close(reading)


@dataclass(frozen=True, slots=True)
class _Ended:
    report: bytes
    printed: bytes
    status: int


class _Conversation(asyncio.SubprocessProtocol):
    """Hears the report and what is printed, as far as they may go, and how it ends."""

    def __init__(self, limits: CodeLimits) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[_Ended] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.printed = bytearray()
        self._report = bytearray()
        # The report says a little more than the value, and is told by the launcher if it is too long.
        self._most = {1: limits.value_bytes + 4096, 2: limits.printed_bytes}
        self._child: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._child = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        heard = self._report if fd == 1 else self.printed
        if self.ended.done():
            return
        heard += data
        if len(heard) > self._most[fd]:
            self.ended.set_exception(_too_large("returned" if fd == 1 else "printed", self._most[fd]))

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended and all that it wrote was heard."""
        assert self._child is not None
        status = self._child.get_returncode()
        if not self.ended.done():
            self.ended.set_result(_Ended(bytes(self._report), bytes(self.printed), -1 if status is None else status))


def _order(request: CodeRequest, limits: CodeLimits) -> bytes:
    order = {
        "source": request.source,
        "inputs": request.inputs,
        "memory_bytes": request.memory_mb * _MIB,
        "cpu_seconds": max(1, round(request.timeout + 0.5)),
        "file_bytes": limits.tmp_bytes,
        "report_bytes": limits.value_bytes,
    }
    # The standard library's encoder: what inputs may hold and orjson refuses, halves of surrogate pairs, it escapes.
    return json.dumps(order, default=str).encode()


def _value(ended: _Ended, printed: str, request: CodeRequest) -> Any:
    """What `main` returned. The report comes from where the code was, so it is read like any other input."""
    if not ended.report.startswith(_READY):
        why = printed.strip().splitlines()
        raise _missing(why[-1][:300] if why else f"bwrap ended with status {ended.status}", f"{_INSTALL}; {_ALLOW}")
    report = _parsed(ended.report[len(_READY) :])
    match report:
        case {"value": value}:
            return value
        case {"error": error}:
            raise _failed(error, printed)
        case {"large": int()}:
            raise _too_large("returned", None, printed)
        case {"memory": True}:
            message = f"the code needs more memory than its {request.memory_mb} MB"
            raise _failure(message, "code_out_of_memory", printed)
        case _:
            if ended.status in _CPU_SPENT:
                raise _timeout(request, printed)
            message = f"the code ended before main returned (status {ended.status})"
            raise _failure(message, "code_failed", printed)


def _parsed(report: bytes) -> Mapping[str, Any] | None:
    try:
        parsed = json.loads(report, parse_int=_whole)
    except _TooBig:
        return {"error": {"message": "main returned an integer of more than 64 bits: return it as text"}}
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None


class _TooBig(Exception):
    pass


def _whole(digits: str) -> int:
    """JSON as everything else here reads it knows whole numbers of 64 bits."""
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise _TooBig
    return number


def _text(printed: bytes | bytearray, most: int) -> str:
    text = bytes(printed[:most]).decode("utf-8", "replace")
    return text if len(printed) <= most else f"{text}\n[cut off here]"


def _failed(reported: Any, printed: str) -> CallFailed:
    error = cast(JsonObject, reported) if isinstance(reported, dict) else {}
    kind, message, line = str(error.get("type", "")), str(error.get("message", "")), error.get("line")
    said = ": ".join(part for part in (kind, message) if part)
    where = f" (line {line})" if isinstance(line, int) else ""
    return _failure(f"{said}{where}", "code_failed", printed, {"traceback": str(error.get("traceback", ""))})


def _timeout(request: CodeRequest, printed: str) -> CallFailed:
    return _failure(f"the code ran longer than its {request.timeout:g} s", "code_timeout", printed)


def _too_large(did: str, most: int | None, printed: str = "") -> CallFailed:
    limit = "" if most is None else f" ({most:,} bytes)"
    return _failure(f"the code {did} more than it may{limit}", "code_output_too_large", printed)


def _failure(message: str, code: str, printed: str, details: JsonObject | None = None) -> CallFailed:
    # Errors stand in lists too: of what was printed, the end is what helps.
    told: JsonObject = {**(details or {}), **({"printed": printed[-_PRINTED_IN_ERRORS:]} if printed else {})}
    return CallFailed(message, code=code, source="code", retryable=False, details=told)


def _missing(why: str, remedy: str) -> CallFailed:
    message = f"code cannot be run on this worker: {why}; {remedy}"
    return CallFailed(message, code="sandbox_missing", source="code", retryable=False)
