"""A reader that a document has taken over, for tests: tries what it must not, and tells how that went.

`python -m tests.knowledge.evil_child` serves in place of `services.knowledge_base.ingestion.extract_child`.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from services.knowledge_base.ingestion.extract.model import DocumentFormat
from services.knowledge_base.ingestion.extract_child import Order, say, serve


def _raw_call(number: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _memory() -> str:
    return str(len(bytearray(2_000_000_000)))


def _threads() -> str:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    return "ran"


def _limits() -> str:
    resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))
    return "raised"


def _connect(place: str) -> str:
    host, port = place.split(":")
    with socket.create_connection((host, int(port)), timeout=2):
        return "connected"


def _write(path: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        return str(file.write("here I was"))


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _signal_by_file(pid: str) -> str:
    """The kernel tells this process, by a signal, whenever our socket can be written to again."""
    talk = next(fd for fd in range(3, 64) if _is_open(fd) and stat.S_ISSOCK(os.fstat(fd).st_mode))
    flags = fcntl.fcntl(talk, fcntl.F_GETFL)
    fcntl.fcntl(talk, fcntl.F_SETOWN, int(pid))
    fcntl.fcntl(talk, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(talk, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(talk, b" " * 65536)
    time.sleep(0.3)
    fcntl.fcntl(talk, fcntl.F_SETFL, flags)
    return "asked for"


def _limits_of(pid: str) -> str:
    resource.prlimit(int(pid), resource.RLIMIT_NOFILE, (0, 0))
    return "lowered"


ATTEMPTS: dict[str, Callable[[str], object]] = {
    "write": _write,
    "read": _read,
    "remove": os.unlink,
    "list": os.listdir,
    "rename": lambda path: os.rename(path, path + ".moved"),
    "folder": os.mkdir,
    "link": lambda path: os.symlink("/etc/passwd", path),
    "mode": lambda path: os.chmod(path, 0o777),
    "truncate": lambda path: os.truncate(path, 0),
    "connect": _connect,
    "socket": lambda _: socket.socket(),
    "pair": lambda _: socket.socketpair(),
    "run": lambda program: subprocess.run([program], check=True),
    "replace": lambda program: os.execv(program, [program]),
    "fork": lambda _: os.fork(),
    "thread": lambda _: _threads(),
    "kill": lambda pid: os.kill(int(pid), signal.SIGKILL),
    "kill thread": lambda pid: _raw_call(200, int(pid), signal.SIGKILL),
    "kill thread of": lambda pid: _raw_call(234, int(pid), int(pid), signal.SIGKILL),
    "queue signal": lambda pid: _raw_call(129, int(pid), signal.SIGKILL, 0),
    "signal by file": _signal_by_file,
    "limits of": _limits_of,
    "trace": lambda pid: _raw_call(101, 16, int(pid), 0, 0),
    "environment": lambda _: dict(os.environ),
    "memory": lambda _: _memory(),
    "limits": lambda _: _limits(),
    "memory file": lambda _: os.memfd_create("x"),
    "namespace": lambda _: _raw_call(272, 0x1000_0000),
    "files": lambda _: [fd for fd in range(64) if _is_open(fd)],
    "user": lambda _: os.setuid(0),
}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def evil(order: Order, document: BinaryIO, answer: BinaryIO) -> None:
    what, _, argument = document.read().decode().partition(" ")
    try:
        found = f"done: {ATTEMPTS[what.replace('_', ' ')](argument)!r}"
    except (OSError, ValueError, RuntimeError, MemoryError, subprocess.SubprocessError) as error:
        found = f"refused: {type(error).__name__} {error}"
    say(answer, {"document": {"format": DocumentFormat.TEXT, "text": found}})


if __name__ == "__main__":
    serve({"extract": evil})
