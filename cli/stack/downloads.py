"""What every download of weights has in common: progress, trust in what lies in the cache, one at a time."""

import asyncio
import contextlib
import fcntl
import hashlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cli.stack.errors import StackError
from cli.stack.files import read_json, write_json

CHUNK = 4 << 20


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class Progress:
    """How far a download is."""

    title: str
    part: int
    parts: int
    done_bytes: int
    total_bytes: int


Report = Callable[[Progress], None]


def require_hash(path: Path, sha256: str) -> None:
    """Hash a file once, and again only after it has changed."""
    if read_json(path.with_suffix(".verified.json")) == _stamp(path, sha256):
        return
    found = hash_prefix(path, path.stat().st_size).hexdigest()
    if found != sha256:
        raise StackError(
            f"{path} is not the file it should be: its SHA-256 is {found}, expected {sha256}.",
            f"It was not used. Remove it (`rm {path}`) and start again to fetch it anew.",
        )
    remember_hash(path, sha256)


def remember_hash(path: Path, sha256: str) -> None:
    """The file was just hashed: do not do it again as long as it stays as it is."""
    write_json(path.with_suffix(".verified.json"), _stamp(path, sha256))


def _stamp(path: Path, sha256: str) -> dict[str, object]:
    status = path.stat()
    return {"size": status.st_size, "modified": status.st_mtime_ns, "sha256": sha256}


def hash_prefix(path: Path, size: int) -> Digest:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while size > 0 and (chunk := handle.read(min(CHUNK, size))):
            digest.update(chunk)
            size -= len(chunk)
    return digest


@contextlib.asynccontextmanager
async def alone(path: Path) -> AsyncGenerator[None]:
    """Checkouts share the cache: one fetches, the others wait for it."""
    with _lock_file(path).open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                await asyncio.sleep(0.2)
        yield


def _lock_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.lock")
