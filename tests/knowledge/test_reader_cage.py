"""A document that takes its reader over finds nothing there: no files, no network, no processes, no secrets."""

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psutil
import pytest

from services.knowledge_base.ingestion.extract.model import ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extractor import Extractor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is taken away is taken away by Linux")


async def attempt(what: str, argument: object = "") -> str:
    """What became of it, in the words of the reader that tried."""
    extractor = Extractor(child="tests.knowledge.evil_child")
    return (await extractor.extract(f"{what.replace(' ', '_')} {argument}".encode(), "a.txt")).text


def family() -> psutil.Process:
    return next(child for child in psutil.Process().children() if "evil_child" in " ".join(child.cmdline()))


@contextmanager
def listener() -> Generator[tuple[int, list[socket.socket]]]:
    """Its port, and who has called."""
    callers: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                callers.append(caller)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], callers
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    for caller in callers:
        caller.close()


@pytest.mark.parametrize("what", ["write", "folder", "link"])
async def test_it_makes_no_files(tmp_path: Path, what: str) -> None:
    assert (await attempt(what, tmp_path / "new")).startswith("refused")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("what", ["write", "read", "remove", "rename", "truncate", "mode"])
async def test_it_touches_no_files(tmp_path: Path, what: str) -> None:
    file = tmp_path / "ours"
    file.write_text("a secret")
    file.chmod(0o600)

    found = await attempt(what, file)

    assert found.startswith("refused"), found
    assert file.read_text() == "a secret"
    assert file.stat().st_mode & 0o777 == 0o600


async def test_it_looks_around_in_vain(tmp_path: Path) -> None:
    for place in (tmp_path, Path.home(), Path("/"), Path("/tmp"), Path("/proc"), Path("/proc/self/environ")):
        found = await attempt("list" if place.is_dir() else "read", place)
        assert found.startswith("refused"), (place, found)


async def test_it_reaches_nobody() -> None:
    with listener() as (port, callers):
        with socket.create_connection(("127.0.0.1", port)):  # somebody listens
            pass
        assert (await attempt("connect", f"127.0.0.1:{port}")).startswith("refused")
        assert (await attempt("socket")).startswith("refused")
        assert (await attempt("pair")).startswith("refused")
    assert len(callers) == 1


@pytest.mark.parametrize("what", ["run", "replace", "fork", "thread"])
async def test_it_starts_nothing(what: str) -> None:
    assert (await attempt(what, "/bin/true")).startswith("refused")


async def test_it_harms_no_other_process() -> None:
    await attempt("files")
    for pid in (os.getpid(), family().pid):
        assert (await attempt("kill", pid)).startswith("refused")
        assert (await attempt("trace", pid)).startswith("refused")
        assert (await attempt("read", f"/proc/{pid}/environ")).startswith("refused")
    assert family().is_running()


@pytest.fixture
def victim() -> Generator[int]:
    """A process of ours that no document may harm; ends badly if one did."""
    process = subprocess.Popen(["sleep", "60"])
    limits = psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE)
    yield process.pid
    alive = process.poll() is None and psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE) == limits
    process.kill()
    process.wait()
    assert alive


@pytest.mark.parametrize("child", ["tests.knowledge.evil_child", "tests.knowledge.evil_child_older"])
@pytest.mark.parametrize(
    "what", ["kill", "kill thread", "kill thread of", "queue signal", "signal by file", "limits of"]
)
async def test_it_has_no_way_to_end_another(victim: int, child: str, what: str) -> None:
    document = f"{what.replace(' ', '_')} {victim}".encode()
    found = (await Extractor(child=child).extract(document, "a.txt")).text
    assert found.startswith("refused"), found


_AS_TESSERACT = """
import ctypes, os, sys
from services.knowledge_base.ingestion.confine import Cage
Cage(-1).enter(programs=True)
libc = ctypes.CDLL(None, use_errno=True)
victim, kill = int(sys.argv[1]), 9
calls = {200: (victim, kill), 234: (victim, victim, kill), 129: (victim, kill, 0), 424: (3, kill, 0, 0),
         302: (victim, 7, ctypes.create_string_buffer(16), 0), 72: (1, 8, victim), 203: (victim, 8, None)}
print([libc.syscall(number, *arguments) for number, arguments in calls.items()], libc.syscall(72, 1, 3) >= 0)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of calls are those of this machine")
def test_what_reads_images_has_none_either(victim: int) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _AS_TESSERACT, str(victim)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == f"{[-1] * 7} True"


async def test_it_knows_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_MASTER_KEYS", "canary")
    found = await attempt("environment")
    assert found.startswith("done")
    assert "canary" not in found
    assert "canary" not in str(family().environ())


async def test_it_gets_no_more_than_its_share() -> None:
    assert "MemoryError" in await attempt("memory")
    for what in ("limits", "memory file", "namespace", "user"):
        found = await attempt(what)
        assert found.startswith("refused"), (what, found)


async def test_it_has_only_its_own_files_open() -> None:
    """Three that are nothing, the document, the socket it answers on, its rule for files, and its own status."""
    found = await attempt("files")
    assert len(found.removeprefix("done: ").strip("[]").split(",")) <= 7


async def test_a_reader_that_cannot_be_started_is_not_the_documents_fault() -> None:
    with pytest.raises(RuntimeError):
        await Extractor(child="tests.knowledge.no_such_child").extract(b"x", "a.txt")


async def test_a_reader_that_lies_is_not_believed() -> None:
    extractor = Extractor(child="tests.knowledge.lying_child")
    for lie in LIES:
        with pytest.raises(ExtractionError) as caught:
            await extractor.extract(lie.encode(), "a.txt")
        assert caught.value.code is ExtractionCode.DAMAGED, lie


async def test_a_reader_that_boasts_is_cut_short() -> None:
    """A title stands in every chunk below it."""
    boast = _DOCUMENT % f'"headings":[[1,"{"x" * 100_000}",0]],"parts":[["{"y" * 100_000}",0]]'
    found = await Extractor(child="tests.knowledge.lying_child").extract(boast.encode(), "a.txt")
    assert (len(found.headings[0].title), len(found.parts[0].name)) == (1000, 1000)


_DOCUMENT = '{"document":{"format":"text","text":"abc",%s}}'
LIES = (
    "",
    "no json",
    "{}",
    '{"document":{"format":"virus","text":"abc"}}',
    '{"document":{"format":"text","text":"a\\u0000b"}}',
    '{"error":{"code":"no_such_code","message":"x"}}',
    _DOCUMENT % '"pages":[4]',
    _DOCUMENT % '"pages":[2,1]',
    _DOCUMENT % '"pages":[-1]',
    _DOCUMENT % '"headings":[[1,"x",9]]',
    _DOCUMENT % '"headings":[[1,"\\u0000",0]]',
    _DOCUMENT % '"tables":[[0,3,2]]',
    _DOCUMENT % '"tables":[[0,1,2],[1,1,3]]',
    _DOCUMENT % '"parts":[["x",4]]',
    _DOCUMENT % '"parts":[["x",3],["y",1]]',
    _DOCUMENT % '"images_only":[0]',
    _DOCUMENT % '"images_only":[2,2]',
    _DOCUMENT % '"images_only":[51]',
    _DOCUMENT % '"title":"\\u0000"',
    _DOCUMENT % ('"warnings":["\\u0000"]'),
)
