"""Where documents lie while they are worked on: nobody else reads them, and nothing else is cleared away."""

import os
import tempfile
from pathlib import Path

import pytest

from services.knowledge_base.ingestion import workshop


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, and nothing known of it yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fresh = workshop._of_this_process.__wrapped__  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(workshop, "_of_this_process", fresh)
    return tmp_path


def test_only_we_may_enter(temporary: Path) -> None:
    with workshop.workplace() as directory:
        assert all(place.stat().st_mode & 0o077 == 0 for place in (directory, directory.parent, directory.parents[1]))
    assert not directory.exists()


def test_what_dead_processes_left_is_cleared(temporary: Path) -> None:
    left = temporary / f"quarterdeck-documents-{os.getuid()}" / "1-left" / "document"
    left.mkdir(parents=True)
    with workshop.workplace():
        assert not left.parent.exists()


def test_a_link_that_somebody_put_there_leads_nowhere(
    temporary: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "letters").mkdir()
    (temporary / f"quarterdeck-documents-{os.getuid()}").symlink_to(home)
    with workshop.workplace() as directory:
        assert home not in directory.resolve().parents
    assert [one.name for one in home.iterdir()] == ["letters"]
