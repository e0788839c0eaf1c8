"""ZIP archives, file by file, for a process that is bounded: see `ingestion.unpack` for what becomes of them."""

import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import BinaryIO, NoReturn, cast

from services.knowledge_base.ingestion.extract.model import (
    ExtractionCode,
    ExtractionError,
    Source,
    damaged,
    password_needed,
    password_wrong,
    unsupported,
)

_PIECE = 262_144
_NAME = 200
_PATH = 1000
_LOCAL_HEADER = 30
_UTF8_NAME = 0x800
_LOCKED = 0x1
# What systems leave in archives without anybody having put it there.
_LITTER = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_LITTER_FOLDERS = frozenset({"__macosx", ".appledouble", ".spotlight-v100", ".trashes"})
_DRIVE = re.compile(r"\A[A-Za-z]:")
# Marks that turn the direction of writing make a name look like another.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f]")


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    files: int = 1_000
    file_bytes: int = 200_000_000
    total_bytes: int = 500_000_000
    # What is small may be packed as well as it can.
    ratio: int = 200
    ratio_from: int = 10_000_000


def unpacked(source: Source, limits: UnpackLimits) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each file's name, cleaned and unlike any other, and its content in pieces, which must be taken first."""
    source.file.seek(0)
    try:
        with zipfile.ZipFile(source.file) as archive:
            _check_overlaps(archive)
            entries = _entries(archive)
        _check(entries, limits)
        locked = any(entry.flag_bits & _LOCKED for entry in entries)
        if locked and not source.password:
            password_needed()
        with _opened(source.file, source.password if locked else None) as archive:
            for entry, name in zip(entries, _named(entries), strict=True):
                # The library that knows about passwords has records of its own.
                yield name, _content(archive, entry, entry.orig_filename if locked else entry)
    except zipfile.BadZipFile:
        damaged("The archive is damaged or cut off.")


def _opened(file: BinaryIO, password: str | None) -> zipfile.ZipFile:
    file.seek(0)
    if password is None:
        return zipfile.ZipFile(file)
    import pyzipper  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs] - seldom needed, has none

    archive = cast(zipfile.ZipFile, pyzipper.AESZipFile(file))
    archive.setpassword(password.encode())
    return archive


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, found_by: zipfile.ZipInfo | str) -> Iterator[bytes]:
    try:
        with archive.open(found_by) as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except NotImplementedError:
        unsupported(f"The archive is packed in a way that is not known here ({_clean(_decoded(entry))}).")
    except (RuntimeError, zipfile.BadZipFile):
        if entry.flag_bits & _LOCKED:  # some wrong passwords are only seen by what comes out
            password_wrong()
        damaged(f"The archive is damaged: {_clean(_decoded(entry))} cannot be unpacked.")


def _check_overlaps(archive: zipfile.ZipFile) -> None:
    """Files that share their bytes make a small archive endless."""
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    for one, other in pairwise(entries):
        if one.header_offset + _LOCAL_HEADER + one.compress_size > other.header_offset:
            damaged("Files overlap in the archive: it is damaged or made to do harm.")


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Of several that have the same name the last, as an archive is added to."""
    found = {entry.orig_filename: entry for entry in archive.infolist() if _is_wanted(entry)}
    return list(found.values())


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    if entry.is_dir() or not entry.file_size or stat.S_ISLNK(entry.external_attr >> 16):
        return False
    parts = [part.lower() for part in _parts(_decoded(entry))]
    return bool(parts) and parts[-1] not in _LITTER and not _LITTER_FOLDERS.intersection(parts[:-1])


def _check(entries: Sequence[zipfile.ZipInfo], limits: UnpackLimits) -> None:
    """By what the directory declares: no more of a file than that is ever unpacked."""
    if not entries:
        raise ExtractionError(ExtractionCode.EMPTY, "There are no files in the archive.")
    if len(entries) > limits.files:
        _too_large(f"There are {len(entries):,} files in the archive, over {limits.files:,}.")
    largest = max(entries, key=lambda entry: entry.file_size)
    if largest.file_size > limits.file_bytes:
        _too_large(f"A file in the archive unpacks to more than {limits.file_bytes // 1_000_000} MB.")
    if sum(entry.file_size for entry in entries) > limits.total_bytes:
        _too_large(f"The archive unpacks to more than {limits.total_bytes // 1_000_000} MB.")
    for entry in entries:
        if entry.file_size > limits.ratio_from and entry.file_size > limits.ratio * entry.compress_size:
            _too_large(f"A file in the archive unpacks to more than {limits.ratio} times its size.")


def _too_large(what: str) -> NoReturn:
    raise ExtractionError(ExtractionCode.TOO_LARGE, what)


def _named(entries: Sequence[zipfile.ZipInfo]) -> Iterator[str]:
    """Names that were different may be the same when cleaned: they are numbered then."""
    given: set[str] = set()
    for entry in entries:
        name = wanted = _clean(_decoded(entry))
        number = 2
        while name.casefold() in given:
            path = PurePosixPath(wanted)
            name = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
            number += 1
        given.add(name.casefold())
        yield name


def _decoded(entry: zipfile.ZipInfo) -> str:
    """Packers that do not say that a name is UTF-8 often write it all the same."""
    if entry.flag_bits & _UTF8_NAME:
        return entry.orig_filename
    try:
        return entry.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.orig_filename


def _clean(name: str) -> str:
    return "/".join(_parts(name))[-_PATH:].lstrip("/")


def _parts(name: str) -> list[str]:
    """A relative path without a way out."""
    name = _TURNING.sub("", unicodedata.normalize("NFC", name)).replace("\\", "/")
    name = "".join(character for character in name if character.isprintable())
    parts = [part.strip()[:_NAME] for part in _DRIVE.sub("", name).split("/")]
    return [part for part in parts if part.strip(". ")]
