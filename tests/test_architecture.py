"""The import contracts of pyproject.toml hold, and a planted bad import breaks each of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("services", "shared", "gateway", "cli")

# (the file that gets the bad import, the import, a word of the contract that must break)
PLANTED = [
    ("shared/kit/ids.py", "import shared.web.errors", "kit imports nothing of ours"),
    ("shared/workflow/graph.py", "import shared.database.session", "workflow graph is pure"),
    ("shared/web/errors.py", "import services.auth.module", "shared never imports services"),
    ("services/auth/module.py", "import services.models.module", "services do not know one another"),
    ("services/orchestration/engine/ports/ledger.py", "import sqlalchemy", "engine is pure"),
    ("gateway/proxy.py", "import services.auth.module", "gateway knows only shared"),
    ("services/analytics/module.py", "import crewai", "crewAI is imported by its runtime alone"),
    ("cli/main.py", "import services.auth.module", "command speaks to the public API"),
]


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([linter, "--no-cache"], cwd=tree, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.sql"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("file", "line", "contract"), PLANTED, ids=[p[2] for p in PLANTED])
def test_a_planted_bad_import_breaks_its_contract(copy: Path, file: str, line: str, contract: str) -> None:
    planted = copy / file
    planted.write_text(f"{planted.read_text()}\n{line}\n")

    result = _lint(copy)

    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
    assert any(contract in row for row in broken), result.stdout


def test_nobody_but_the_session_boundary_commits() -> None:
    allowed = {ROOT / "shared/database/migrate.py"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert ".commit(" not in path.read_text() or path in allowed, path


@pytest.mark.parametrize("app", ["gateway.embedded", "gateway.main"])
def test_api_processes_never_import_crewai(app: str) -> None:
    """It costs four seconds and 260 MB; and what it does on import has no place beside the sign-in."""
    program = (
        f"import sys, {app}\n"
        "heavy = {'crewai', 'litellm', 'chromadb', 'torch'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
