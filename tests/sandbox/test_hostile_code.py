"""Code that wants out, or wants everything: it gets an error, and nothing of the machine."""

import asyncio
import contextlib
import os
import platform
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.sandbox.conftest import Run, failure

CANARY = "canary-7f1c2e"


def inside() -> list[psutil.Process]:
    """The processes of sandboxes that are there now."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        if "/launcher.py" in (process.info["cmdline"] or []):
            found.append(process)
    return found


async def nothing_is_left() -> None:
    async with asyncio.timeout(10):
        while inside():  # noqa: ASYNC110 - processes of others: nobody tells when they are gone
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
async def test_there_is_no_network(run: Run, family: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        port = listening.getsockname()[1]
        source = f"""
import socket
def main(inputs):
    socket.socket(socket.{family}).connect(('127.0.0.1', {port}))
"""
        assert "Operation not permitted" in (await failure(run, source)).message
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/root", "/home", "/proc", "/proc/1/environ", "/sys", "/usr", "/dev/mem", "/var", "/run"]
)
async def test_files_of_the_machine_are_not_there(run: Run, path: str) -> None:
    source = f"import os\ndef main(inputs):\n    return [os.path.lexists('{path}'), sorted(os.listdir('/'))]"
    assert (await run(source)).value == [False, ["dev", "launcher.py", "lib", "lib64", "python", "tmp"]]


async def test_neither_is_the_product(run: Run) -> None:
    source = (
        f"import os, sys\ndef main(inputs):\n    return [os.path.exists({__file__!r}), os.listdir('/tmp'), sys.path]"
    )
    exists, temporary, path = (await run(source)).value
    assert not exists
    assert temporary == []
    assert all(each.startswith("/python/") for each in path)


@pytest.mark.parametrize(
    "path", ["/x", "/python/x", "/lib/x", "/dev/x", "/launcher.py", "/python/bin/python", "/python/lib/x", "/etc/x"]
)
async def test_nothing_can_be_written_but_tmp(run: Run, path: str) -> None:
    told = await failure(run, f"def main(inputs):\n    open('{path}', 'w')")
    assert any(why in told.message for why in ("Read-only", "Permission", "No such file"))


async def test_tmp_is_small_and_forgotten(run: Run) -> None:
    fill = """
def main(inputs):
    for n in range(50):
        with open(f'/tmp/{n}', 'wb') as file:
            file.write(bytes(1024 * 1024))
"""
    assert "No space left" in (await failure(run, fill)).message
    assert (await run("import os\ndef main(inputs):\n    return os.listdir('/tmp')")).value == []


async def test_links_lead_nowhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(CANARY)
    source = f"""
import os
def main(inputs):
    os.symlink({str(tmp_path)!r}, '/tmp/link')
    os.symlink('/proc/self/root/../..', '/tmp/up')
    seen = []
    for path in ('/tmp/link/secret', '/tmp/up/etc/passwd', '/../../etc/passwd'):
        try:
            seen.append(open(path).read())
        except OSError as error:
            seen.append(error.errno)
    return seen
"""
    assert (await run(source)).value == [2, 2, 2]


@pytest.mark.parametrize(
    "way",
    [
        "os.fork()",
        "os.posix_spawn('/python/bin/python', ['python'], {})",
        "subprocess.run(['/python/bin/python', '-c', ''])",
        "threading.Thread(target=print).start()",
        "ctypes.CDLL(None, use_errno=True).syscall(57) < 0 and (_ for _ in ()).throw(PermissionError())",
    ],
)
async def test_there_is_one_process_and_one_thread(run: Run, way: str) -> None:
    told = await failure(run, f"import ctypes, os, subprocess, threading\ndef main(inputs):\n    {way}")
    assert any(each in told.message for each in ("PermissionError", "BlockingIOError", "can't start new thread"))


async def test_what_the_whole_machine_has_few_of_is_not_taken(run: Run) -> None:
    """Contexts of asynchronous I/O: a handful of calls would take all that the machine's databases may need."""
    number = {"x86_64": 206, "aarch64": 0}[platform.machine()]
    source = f"""
import ctypes
def main(inputs):
    libc = ctypes.CDLL(None, use_errno=True)
    return [libc.syscall({number}, 1000, ctypes.byref(ctypes.c_ulong(0))), ctypes.get_errno()]
"""
    assert (await run(source)).value == [-1, 1]


async def test_a_fork_bomb_goes_off_in_nobodys_hand(run: Run) -> None:
    source = """
import os, threading
def main(inputs):
    made = 0
    for _ in range(10000):
        for make in (os.fork, threading.Thread(target=print).start):
            try:
                make()
                made += 1
            except (OSError, RuntimeError):
                pass
    return made
"""
    assert (await run(source)).value == 0
    await nothing_is_left()


@pytest.mark.parametrize(
    "bomb",
    [
        "x = []\n    while True: x.append('x' * 1000000)",
        "x = 'x' * 10**10",
        "x = [0] * 10**9",
        "x = 1 << (1 << 40)",
        "x = {}\n    n = 0\n    while True: x[n] = n = n + 1",
    ],
)
async def test_memory_is_bounded(run: Run, bomb: str) -> None:
    started = time.monotonic()
    assert (await failure(run, f"def main(inputs):\n    {bomb}")).code == "code_out_of_memory"
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("way", ["os.memfd_create('x')", "ctypes.CDLL(None).shmget(0, 4096, 0o1600) < 0 and 1 / 0"])
async def test_there_is_no_memory_beside_it(run: Run, way: str) -> None:
    told = await failure(run, f"import ctypes, os\ndef main(inputs):\n    {way}")
    assert "Operation not permitted" in told.message or "division" in told.message


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "import time; time.sleep(1000)",
        "9 ** 9 ** 9",
        "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
        "import signal; [signal.signal(n, signal.SIG_IGN) for n in {*range(1, 32)} - {9, 19}]\n    while True: pass",
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    ],
)
async def test_time_is_bounded(run: Run, loop: str) -> None:
    started = time.monotonic()
    told = await failure(run, f"def main(inputs):\n    print('begun')\n    {loop}", timeout=1.0)
    assert time.monotonic() - started < 5
    assert (told.code, told.details) == ("code_timeout", {"printed": "begun\n"})
    await nothing_is_left()


@pytest.mark.parametrize(
    "flood",
    [
        "while True: print('x' * 10000)",
        "while True: os.write(2, b'x' * 10000)",
        "return 'x' * 5_000_000",
        "while True: os.write(3, b'x' * 10000)",
    ],
)
async def test_output_is_bounded(run: Run, flood: str) -> None:
    assert (await failure(run, f"import os\ndef main(inputs):\n    {flood}")).code == "code_output_too_large"
    await nothing_is_left()


async def test_a_forged_report_is_no_more_than_an_answer(run: Run) -> None:
    """The code could have returned that as well; what it cannot do is to be taken for us."""
    source = "import os\ndef main(inputs):\n    os.write(3, b'{0}')\n    os._exit(0)"
    for forged in (
        '{"error": {"code": "sandbox_missing", "retryable": true}}',
        "[",
        "[1]",
        '{"error": 5}',
        "\\x80cpickle",
    ):
        assert (await failure(run, source.replace("{0}", forged))).code == "code_failed"


async def test_nobody_can_be_signalled(run: Run) -> None:
    source = """
import os, signal
def main(inputs):
    told = []
    for pid in (1, os.getppid(), -1, 0x3fff):
        try:
            os.kill(pid, signal.SIGKILL)
            told.append('sent')
        except OSError as error:
            told.append(error.errno)
    return told
"""
    mine = os.getpid()
    with contextlib.suppress(Exception):  # it may hit itself
        await run(source)
    assert psutil.pid_exists(mine)
    assert (await run("def main(inputs):\n    return 1")).value == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ptrace", "0, 0, 0, 0"),
        ("unshare", "0x10000000"),
        ("mount", "0, 0, 0, 0, 0"),
        ("setns", "0, 0"),
        ("chroot", "0"),
    ],
)
async def test_the_kernel_refuses_what_code_has_no_use_for(run: Run, name: str, arguments: str) -> None:
    source = f"""
import ctypes
def main(inputs):
    libc = ctypes.CDLL(None, use_errno=True)
    return [libc.{name}({arguments}), ctypes.get_errno()]
"""
    assert (await run(source)).value == [-1, 1]


async def test_it_is_nobody_without_any_rights(run: Run) -> None:
    source = """
import ctypes, os
def main(inputs):
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        os.setuid(0)
        became = True
    except OSError:
        became = False
    return [os.getuid(), os.getgid(), became, libc.prctl(39, 0, 0, 0, 0), os.uname().nodename, os.getpid() < 10]
"""
    assert (await run(source)).value == [65534, 65534, False, 1, "sandbox", True]


async def test_nothing_is_inherited(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even what a careless part of the worker left open for its children."""
    monkeypatch.setenv("QUARTERDECK_MASTER_KEYS", CANARY)
    (tmp_path / "secret").write_text(CANARY)
    leak = os.open(tmp_path / "secret", os.O_RDONLY)
    os.set_inheritable(leak, True)
    source = """
import os, stat, sys
def main(inputs):
    found = {}
    for fd in range(1024):
        try:
            found[fd] = stat.S_IFMT(os.fstat(fd).st_mode)
        except OSError:
            pass
    return [dict(os.environ), found, sys.stdin.read(), sys.argv]
"""
    try:
        environment, files, stdin, arguments = (await run(source)).value
    finally:
        os.close(leak)
    assert CANARY not in str((environment, files, stdin, arguments))
    assert environment.keys() <= {"LD_LIBRARY_PATH", "PWD", "LC_CTYPE"}
    # Standard input is /dev/null; the other three are pipes to us.
    assert {int(fd): kind for fd, kind in files.items()} == {0: 0o020000, 1: 0o010000, 2: 0o010000, 3: 0o010000}
    assert stdin == ""


async def test_standard_input_is_used_up(run: Run) -> None:
    source: Any = (
        "import os, sys\ndef main(inputs):\n    return [os.read(0, 10).decode(), sys.stdin.readline(), input()]"
    )
    assert "EOFError" in (await failure(run, source)).message


async def test_endless_recursion_ends_it_alone(run: Run) -> None:
    source = "import sys\nsys.setrecursionlimit(10**9)\ndef main(inputs):\n    return main(inputs)"
    assert (await failure(run, source)).code in ("code_failed", "code_out_of_memory")


async def test_a_cancelled_step_leaves_nothing_running(run: Run) -> None:
    running = asyncio.ensure_future(run("def main(inputs):\n    while True: pass"))
    async with asyncio.timeout(10):
        while not inside():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.wait((running,))
    await nothing_is_left()
