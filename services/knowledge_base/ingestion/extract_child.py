"""The processes in which documents are read: `python -m services.knowledge_base.ingestion.extract_child`.

One process imports all readers and then only makes copies of itself, one for each document. It is given, on the
socket that is its standard input, three files a document: the document, a socket to talk with, and one that says
how it ended. It never looks at a document or an order itself. A copy bounds itself, reads its order (a line of JSON),
gives up all it does not need, and only then looks at its document. Closing the third file has the copy killed.
"""

import contextlib
import gc
import io
import json  # not orjson: a parser of Python's own is good enough for an order
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from services.knowledge_base.ingestion.confine import Cage, bound, die_with_parent, leave_network
from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError

_ROOT = Path(__file__).resolve().parents[3]
_USED_UP = 0.75
_IDLE = 300.0
_ORDER_BYTES = 65_536

Order = dict[str, Any]
Job = Callable[[Order, BinaryIO, BinaryIO], None]
"""Reads a document as ordered and writes the answer; raises `ExtractionError`, or anything (= damaged)."""


def serve(jobs: Mapping[str, Job]) -> None:
    """Until the parent is gone, or asks for nothing for a while."""
    leave_network()
    cage = Cage.around(_libraries())
    gc.collect()
    gc.freeze()  # what is there already is shared with all copies as long as nobody touches it
    _Family(jobs, cage).run()


def _libraries() -> list[Path]:
    """Where code is imported from, and nothing beside it: our root holds settings too."""
    paths = [Path(path) for path in sys.path if path]
    paths += [Path(sys.prefix) / "lib", Path(sys.base_prefix) / "lib", Path("/usr/share/zoneinfo")]
    paths += [Path(path) for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64")]
    return [path for path in paths if path != _ROOT] + [_ROOT / "services", _ROOT / "shared"]


@dataclass(slots=True)
class _Family:
    jobs: Mapping[str, Job]
    cage: Cage
    parent: socket.socket = field(default_factory=lambda: socket.socket(fileno=os.dup(0)))
    children: dict[int, socket.socket] = field(default_factory=dict[int, socket.socket])

    def run(self) -> None:
        bell, ringer = _bell()
        signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _heed)
        leaving = False
        while not leaving or self.children:
            watched = [bell, *self.children.values(), *(() if leaving else (self.parent,))]
            ready, _, _ = select.select(watched, [], [], None if self.children else _IDLE)
            if bell in ready:
                os.read(bell, 4096)
            for pid, status in self.children.items():
                if status in ready:  # nothing is ever said there: the parent has hung up
                    _kill(pid)
            self._bury()
            if not ready:
                self.parent.shutdown(socket.SHUT_RD)  # from now on it finds us gone; what it said before is heard
            if (self.parent in ready or not ready) and not self._born():
                leaving = True
                if ready:
                    self._kill_all()

    def _kill_all(self) -> None:
        for pid in self.children:
            _kill(pid)

    def _born(self) -> bool:
        """Whether there still is a parent."""
        said, files, _, _ = socket.recv_fds(self.parent, 1, 3)
        if not said:
            return False
        document, talk, status = files
        pid = os.fork()
        if pid == 0:
            _live(self.jobs, self.cage, document, talk)
        os.close(document)
        os.close(talk)
        self.children[pid] = socket.socket(fileno=status)
        return True

    def _bury(self) -> None:
        while self.children:
            # What it may have started is killed while its number is still its own.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            _kill(ended.si_pid)
            _, status = os.waitpid(ended.si_pid, 0)
            with self.children.pop(ended.si_pid) as told, contextlib.suppress(OSError):
                told.send(struct.pack("=i", os.waitstatus_to_exitcode(status)))


def _heed(number: int, frame: object) -> None:
    """The bell is rung; there is nothing else to be done."""


def _bell() -> tuple[int, int]:
    bell, ringer = os.pipe()
    os.set_blocking(bell, False)
    os.set_blocking(ringer, False)
    return bell, ringer


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _live(jobs: Mapping[str, Job], cage: Cage, document: int, talk: int) -> None:
    """All of a copy's life."""
    try:
        os.setsid()
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The rest is the family's: sockets of others, and the one by which copies are asked for.
        files = [os.dup(file) for file in (document, talk, cage.files) if file >= 0]
        _keep(files)
        order, answer = _order(files[1]), os.fdopen(files[1], "wb")
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
            score.write("1000")  # when memory is short, we are the first to go
        status = _open_status()
        bound(order["memory_bytes"], order["cpu_seconds"])
        Cage(files[2] if cage.files >= 0 else -1).enter()
        with contextlib.suppress(BrokenPipeError):
            _work(jobs[order["job"]], order, os.fdopen(files[0], "rb"), answer, status)
            answer.flush()
    except BaseException:  # noqa: BLE001 - a copy must never go on as the family
        os._exit(1)
    os._exit(0)


def _keep(files: list[int]) -> None:
    """The files the process keeps, all three standard ones being nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    begin = 3
    for file in sorted(files):
        os.closerange(begin, file)
        begin = file + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX") if sys.platform != "linux" else 65_536)


def _order(talk: int) -> Order:
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(talk, _ORDER_BYTES)
        if not piece:
            os._exit(0)
        line += piece
    return json.loads(line)


def _work(job: Job, order: Order, document: BinaryIO, answer: BinaryIO, status: BinaryIO | None) -> None:
    try:
        job(order, document, answer)
    except ExtractionError as error:
        _fail(answer, error.code, error.message)
    except MemoryError:
        _too_heavy(answer)
    except ImportError:
        os._exit(1)  # not the document's fault
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001 - whatever a reader stumbles over is the document's fault
        if _memory_is_used_up(status):  # libxml2 calls it a syntax error
            _too_heavy(answer)
        else:
            _fail(answer, ExtractionCode.DAMAGED, "The document could not be read: it is damaged.")


def _too_heavy(answer: BinaryIO) -> None:
    _fail(answer, ExtractionCode.TOO_HEAVY, "The document needs too much memory to be read.")


def _fail(answer: BinaryIO, code: ExtractionCode, message: str) -> None:
    say(answer, {"error": {"code": code, "message": message}})


def say(answer: BinaryIO, what: Mapping[str, Any]) -> None:
    """One line of JSON."""
    answer.write(json.dumps(what, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n")


def _open_status() -> BinaryIO | None:
    try:
        return open("/proc/self/status", "rb", buffering=0)
    except OSError:
        return None


def _memory_is_used_up(status: BinaryIO | None) -> bool:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if status is None:
        return False
    lines = io.BytesIO(status.read()).readlines()
    peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith(b"VmPeak")), 0)
    return peak > limit * _USED_UP


if __name__ == "__main__":
    from services.knowledge_base.ingestion.extract import import_readers
    from services.knowledge_base.ingestion.reading import JOBS

    import_readers()
    serve(JOBS)
