"""This side of the processes that read documents: asks for one, talks with it, and sees to its end.

Nothing here belongs to an event loop for longer than a document takes, so one family serves the whole process.
"""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_ROOT = Path(__file__).resolve().parents[3]
_PIECE = 262_144
_STATUS = struct.Struct("=i")


class Silence(Exception):
    """A reader ended before it had said all it had to say."""


@dataclass(slots=True)
class Reader:
    """A process that reads one document."""

    talk: socket.socket
    _status: socket.socket
    _heard: bytearray = field(default_factory=bytearray)
    returncode: int | None = None
    """Negative when a signal ended it, as in `subprocess`. Known after `ended`; None when its family is gone too."""

    async def order(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended: `ended` tells how
            await asyncio.get_running_loop().sock_sendall(self.talk, line + b"\n")

    async def piece(self) -> bytes:
        """What it says next; nothing when it has ended."""
        if self._heard:
            heard, self._heard = bytes(self._heard), bytearray()
            return heard
        try:
            return await asyncio.get_running_loop().sock_recv(self.talk, _PIECE)
        except ConnectionResetError:
            return b""

    async def line(self, longest: int) -> bytes:
        """Raises `Silence` when there is none so short."""
        heard = bytearray()
        while (end := heard.find(b"\n")) < 0:
            piece = await self.piece()
            heard += piece
            if not piece or len(heard) > longest + _PIECE:
                raise Silence
        self._heard = heard[end + 1 :]
        return bytes(heard[:end])

    async def exactly(self, size: int) -> AsyncGenerator[bytes]:
        """So many bytes in pieces, fewer when it ends before."""
        while size > 0 and (piece := await self.piece()):
            if len(piece) > size:
                self._heard += piece[size:]
                piece = piece[:size]
            size -= len(piece)
            yield piece

    async def ended(self) -> int | None:
        """Ends it, if it has not by itself."""
        with contextlib.suppress(OSError):
            self._status.shutdown(socket.SHUT_WR)
        try:
            said = await asyncio.get_running_loop().sock_recv(self._status, _STATUS.size)
        except ConnectionResetError:
            said = b""
        if len(said) == _STATUS.size:
            (self.returncode,) = _STATUS.unpack(said)
        return self.returncode

    def close(self) -> None:
        self.talk.close()
        self._status.close()


@dataclass(slots=True)
class Family:
    module: str
    _process: subprocess.Popen[bytes] | None = None
    _control: socket.socket | None = None
    _owner: int = 0

    @asynccontextmanager
    async def reader(self, document: BinaryIO) -> AsyncGenerator[Reader]:
        """Nothing of it is left afterwards."""
        reader = self._born(document)
        try:
            yield reader
        finally:
            try:
                await reader.ended()
            finally:
                reader.close()

    def _born(self, document: BinaryIO) -> Reader:
        try:
            return self._ask(document)
        except OSError:  # it has left, having had nothing to do
            self.close()
            return self._ask(document)

    def _ask(self, document: BinaryIO) -> Reader:
        control = self._started()
        talk, its_talk = socket.socketpair()
        status, its_status = socket.socketpair()
        with its_talk, its_status:
            talk.setblocking(False)
            status.setblocking(False)
            try:
                socket.send_fds(control, [b"+"], [document.fileno(), its_talk.fileno(), its_status.fileno()])
            except OSError:
                talk.close()
                status.close()
                raise
        return Reader(talk, status)

    def _started(self) -> socket.socket:
        if self._control and self._process and self._owner == os.getpid() and self._process.poll() is None:
            return self._control
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-s", "-m", self.module),
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                cwd="/", env=_environment(), start_new_session=True,
            )  # fmt: skip
        self._control, self._owner = ours, os.getpid()
        return ours

    def close(self) -> None:
        """It ends, with all its readers, when nobody is at the other end."""
        if self._control:
            self._control.close()
        if self._process and self._owner == os.getpid():
            self._process.wait()
        self._control = self._process = None


def _environment() -> dict[str, str]:
    """None of ours: a document that takes over its reader finds no keys and no addresses there."""
    return {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8"}
