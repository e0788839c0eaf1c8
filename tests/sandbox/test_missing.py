"""Without a sandbox that works, nothing of the code runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from services.orchestration.adapters.jail import root
from services.orchestration.adapters.jail.seccomp import filter_program
from services.orchestration.adapters.sandbox import BubblewrapSandbox
from services.orchestration.engine.ports import CallFailed, CodeRequest
from tests.fixtures.stack import ROOT

LAUNCHER = root.LAUNCHER

WORKER = """
import asyncio
from services.orchestration.adapters.sandbox import BubblewrapSandbox
from services.orchestration.engine.ports import CodeRequest
asyncio.run(BubblewrapSandbox().run(CodeRequest("def main(i):\\n    while True: pass", None, 100.0, 128)))
"""


async def refusal(path: str, mark: Path, monkeypatch: pytest.MonkeyPatch) -> CallFailed:
    monkeypatch.setenv("PATH", path)
    source = f"open({str(mark)!r}, 'w')\ndef main(inputs):\n    open({str(mark)!r}, 'w')"
    with pytest.raises(CallFailed) as raised:
        await BubblewrapSandbox().run(CodeRequest(source, {}, 10.0, 128))
    assert (raised.value.code, raised.value.retryable) == ("sandbox_missing", False)
    assert not os.path.exists(mark)  # noqa: ASYNC240 - nothing else runs here
    return raised.value


async def test_without_bwrap_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = await refusal(str(tmp_path), tmp_path / "ran", monkeypatch)
    assert "bwrap is not on the PATH" in told.message
    assert "apt-get install bubblewrap" in told.message


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "No permissions to create new namespace"),
        ("exit 0", "status 0"),
        ("echo 'not a program' ; kill -9 $$", "status -9"),
        ("cat > /dev/null; echo '{\"value\": 1}'", "status 0"),
    ],
)
async def test_with_a_bwrap_that_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    told = await refusal(_made(tmp_path, script), tmp_path / "ran", monkeypatch)
    assert why in told.message
    assert "user namespaces" in told.message


async def test_a_bwrap_that_keeps_nothing_apart_is_seen_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher itself refuses to run code in what does not look like the sandbox."""
    script = f'export PATH=/usr/bin:/bin; exec "{sys.executable}" -I "{LAUNCHER}"'
    told = await refusal(_made(tmp_path, script), tmp_path / "ran", monkeypatch)
    assert "this is no sandbox" in told.message


async def test_a_machine_whose_calls_are_not_known_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    assert filter_program() is None
    told = await refusal(_made(tmp_path, "exit 0"), tmp_path / "ran", monkeypatch)
    assert "x86_64" in told.message


def test_the_filter_has_a_form_for_each_machine() -> None:
    for machine in ("x86_64", "aarch64"):
        program = filter_program(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) < 4096 * 8


async def test_code_ends_with_its_worker(tmp_path: Path) -> None:
    if (trouble := await BubblewrapSandbox().check()) is not None:
        pytest.skip(trouble)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment)  # noqa: ASYNC220 - nothing else runs
    try:
        launched = _launched_by(worker.pid)
        worker.send_signal(signal.SIGKILL)
    finally:
        worker.kill()
        worker.wait()
    _, alive = psutil.wait_procs(launched, timeout=10)
    assert alive == []


def _launched_by(pid: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        below = psutil.Process(pid).children(recursive=True)
        if any(each.name() == "python" and "/launcher.py" in each.cmdline() for each in below) and len(below) >= 3:
            return below
        time.sleep(0.05)
    raise AssertionError("the code did not start")


def _made(directory: Path, script: str) -> str:
    """A PATH with a `bwrap` of ours."""
    program = directory / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(directory)
