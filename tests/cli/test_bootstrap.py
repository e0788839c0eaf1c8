"""Installing: what is decided before anything is downloaded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli import bootstrap
from cli.stack.layout import PROJECT_ROOT


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose environment works, and an installer that only says that it was asked."""
    root = tmp_path / "my checkout"
    binaries = root / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    shutil.copytree(PROJECT_ROOT / "requirements", root / "requirements")
    (root / "cli").mkdir()
    (root / "cli" / "__init__.py").write_text("")
    (root / "cli" / "main.py").write_text("import sys\n\n\ndef main():\n    print('called with', *sys.argv[1:])\n")
    for name, value in {
        "ROOT": root,
        "VENV": root / ".venv",
        "PYTHON": binaries / "python",
        "STAMP": root / ".venv" / "quarterdeck-installed.json",
        "LOCKS": root / "requirements",
    }.items():
        monkeypatch.setattr(bootstrap, name, value)
    return root


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr(bootstrap, "_install", asked.append)
    monkeypatch.setattr(bootstrap, "_make_venv", lambda: asked.append("venv"))
    return asked


def test_nothing_is_done_twice(checkout: Path, installed: list[str]) -> None:
    bootstrap.main("embedded")
    bootstrap.main("embedded")
    assert installed == ["embedded"]


def test_a_changed_lock_is_installed(checkout: Path, installed: list[str]) -> None:
    bootstrap.main("embedded")
    with (checkout / "requirements" / "embedded.txt").open("a") as lock:
        lock.write("# changed\n")
    bootstrap.main("embedded")
    assert installed == ["embedded", "embedded"]


def test_running_takes_nothing_from_who_develops(checkout: Path, installed: list[str]) -> None:
    bootstrap.main("embedded")
    bootstrap.main("dev")
    bootstrap.main("embedded")
    assert installed == ["embedded", "dev"]
    assert json.loads(bootstrap.STAMP.read_text())["set"] == "dev"


def test_an_environment_that_is_gone_or_was_moved_is_made_anew(checkout: Path, installed: list[str]) -> None:
    bootstrap.main("embedded")
    stamp = json.loads(bootstrap.STAMP.read_text())
    bootstrap.STAMP.write_text(json.dumps({**stamp, "root": "/somewhere/else"}))
    bootstrap.main("embedded")
    bootstrap.PYTHON.unlink()
    bootstrap.main("embedded")
    assert installed == ["embedded", "venv", "embedded", "venv", "embedded"]


def test_the_command_works_from_a_path_with_spaces(checkout: Path, installed: list[str], tmp_path: Path) -> None:
    bootstrap.main("embedded")
    command = checkout / ".venv" / "bin" / "quarterdeck"
    done = subprocess.run([command, "run", "a b"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "called with run a b\n"


def test_without_a_python_that_fits_make_says_which_ones_do(tmp_path: Path) -> None:
    for name in ("make", "sh"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    shutil.copy(PROJECT_ROOT / "Makefile", tmp_path)
    done = subprocess.run(
        [tmp_path / "make", "up"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs Python 3.11, 3.12 or 3.13" in done.stderr


def test_help_names_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed >= {"help", "up", "demo", "test", "check", "bench", "openapi"}
