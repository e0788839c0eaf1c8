"""Archives: their files under clean names, bounded, opened with their password."""

import io
import stat
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest
import pyzipper  # pyright: ignore[reportMissingTypeStubs] - has no types

from services.knowledge_base.ingestion.extract.model import DocumentFormat, ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extractor import ExtractionLimits, Extractor
from services.knowledge_base.ingestion.unpack import UnpackLimits
from tests.knowledge import hostile

CODE = ExtractionCode


def archive_of(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


async def unpack(
    data: bytes, tmp_path: Path, *, password: str | None = None, limits: UnpackLimits | None = None
) -> dict[str, bytes]:
    file, into = tmp_path / "archive", tmp_path / "into"
    file.write_bytes(data)
    into.mkdir()
    extractor = Extractor(ExtractionLimits(unpack=limits or UnpackLimits()))
    entries = await extractor.unpack(file, into, password=password)
    assert {entry.file for entry in entries} == set(into.iterdir())
    assert all(entry.size == entry.file.stat().st_size for entry in entries)
    return {entry.path: entry.file.read_bytes() for entry in entries}


async def refusal(data: bytes, tmp_path: Path, **how: UnpackLimits | str) -> ExtractionCode:
    with pytest.raises(ExtractionError) as caught:
        await unpack(data, tmp_path, **how)  # pyright: ignore[reportArgumentType] - each by its name
    assert caught.value.message.endswith(".")
    written = sum(file.stat().st_size for file in (tmp_path / "into").iterdir())
    assert written < 1_000_000
    return caught.value.code


async def test_files_come_out_whole(tmp_path: Path) -> None:
    large = bytes(range(256)) * 10_000
    data = archive_of(("a.txt", b"one"), ("folder/b.bin", large))
    assert await unpack(data, tmp_path) == {"a.txt": b"one", "folder/b.bin": large}


async def test_it_is_recognised_as_an_archive() -> None:
    found = await Extractor().extract(archive_of(("a.txt", b"one")), "a.zip")
    assert (found.format, found.text) == (DocumentFormat.ZIP, "")


async def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    names = {
        "../../etc/passwd": "etc/passwd",
        "/absolute.txt": "absolute.txt",
        "C:\\Users\\x.txt": "Users/x.txt",
        "a/./b/../c.txt": "a/b/c.txt",
        "bell\x07.txt": "bell.txt",
        "gpj.\u202etxt.exe": "gpj.txt.exe",
        "same.txt": "same.txt",
        "./same.txt": "same (2).txt",
        "SAME.txt": "SAME (3).txt",
    }
    found = await unpack(archive_of(*((name, name.encode()) for name in names)), tmp_path)
    assert found == {clean: name.encode() for name, clean in names.items()}


async def test_names_in_old_encodings_are_legible(tmp_path: Path) -> None:
    data = archive_of(
        ("Gr\u00fc\u00dfe.txt", b"utf-8, and said so"), ("XXXX.txt", b"utf-8 not said"), ("YY.txt", b"cp437")
    )
    data = data.replace(b"XXXX.txt", "\u00fc\u00df.txt".encode()).replace(b"YY.txt", "\u00fc\u00df.txt".encode("cp437"))
    assert list(await unpack(data, tmp_path)) == ["Gr\u00fc\u00dfe.txt", "\u00fc\u00df.txt", "\u00fc\u00df (2).txt"]


async def test_what_nobody_put_there_is_left_out(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    data = archive_of(
        ("__MACOSX/._a.txt", b"x"), (".DS_Store", b"x"), ("b/Thumbs.db", b"x"), ("folder/", b""), ("empty.txt", b""),
        (link, b"/etc/passwd"), ("a.txt", b"kept"),
    )  # fmt: skip
    assert await unpack(data, tmp_path) == {"a.txt": b"kept"}


async def test_of_two_of_one_name_the_last_is_taken(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = archive_of(("a.txt", b"old"), ("a.txt", b"new"))
    assert await unpack(data, tmp_path) == {"a.txt": b"new"}


async def test_archives_within_are_files(tmp_path: Path) -> None:
    found = await unpack(hostile.nested_archive(6), tmp_path)
    assert list(found) == ["0.zip", "1.zip", "2.zip", "3.zip"]
    assert (await Extractor().extract(found["0.zip"], "0.zip")).format is DocumentFormat.ZIP


async def test_bounds_hold(tmp_path: Path) -> None:
    cases = {
        "count": (archive_of(*((f"{n}.txt", b"x") for n in range(1001))), UnpackLimits()),
        "one": (archive_of(("a", bytes(2_000_000))), UnpackLimits(file_bytes=1_000_000)),
        "all": (archive_of(*((f"{n}", bytes(700_000)) for n in range(3))), UnpackLimits(total_bytes=2_000_000)),
        "ratio": (archive_of(("a", bytes(20_000_000))), UnpackLimits()),
    }
    for name, (data, limits) in cases.items():
        place = tmp_path / name
        place.mkdir()
        assert await refusal(data, place, limits=limits) is CODE.TOO_LARGE, name


async def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    data = hostile.overlapping(900, 1)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:  # it is what it is said to be
        assert sum(entry.file_size for entry in archive.infolist()) > 5000 * len(data)
    assert await refusal(data, tmp_path) is CODE.DAMAGED


async def test_a_lie_about_a_size_ends_it(tmp_path: Path) -> None:
    data = archive_of(("a.txt", b"x" * 100_000))
    size = (100_000).to_bytes(4, "little")
    assert data.count(size) == 2
    assert await refusal(data.replace(size, (50).to_bytes(4, "little")), tmp_path) is CODE.DAMAGED


@pytest.mark.parametrize("data", [archive_of(), archive_of(("a/", b""), ("b.txt", b""))])
async def test_an_archive_of_nothing_is_empty(data: bytes, tmp_path: Path) -> None:
    assert await refusal(data, tmp_path) is CODE.EMPTY


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
async def test_a_cut_archive_is_damaged(tmp_path: Path, cut: float) -> None:
    data = archive_of(("a.txt", bytes(range(256)) * 100))
    assert await refusal(data[: int(len(data) * cut)], tmp_path) is CODE.DAMAGED


def locked(encryption: str) -> bytes:
    out = io.BytesIO()
    with cast(Any, pyzipper.AESZipFile)(out, "w", compression=pyzipper.ZIP_DEFLATED) as archive:  # it has no types
        archive.setencryption(encryption, nbits=256)
        archive.setpassword(b"open sesame")
        archive.writestr("a.txt", b"what nobody may read" * 100)
    return out.getvalue()


async def test_a_password_opens_it(tmp_path: Path) -> None:
    data = locked(pyzipper.WZ_AES)
    assert b"what nobody" not in data
    for name, password, expected in (("none", None, CODE.ENCRYPTED), ("wrong", "open barley", CODE.PASSWORD_WRONG)):
        place = tmp_path / name
        place.mkdir()
        how = {"password": password} if password else {}
        assert await refusal(data, place, **how) is expected
    assert await unpack(data, tmp_path, password="open sesame") == {"a.txt": b"what nobody may read" * 100}


async def test_files_that_are_not_protected_come_along(tmp_path: Path) -> None:
    data = io.BytesIO(locked(pyzipper.WZ_AES))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("open.txt", b"what all may read")
    found = await unpack(data.getvalue(), tmp_path, password="open sesame")
    assert found == {"a.txt": b"what nobody may read" * 100, "open.txt": b"what all may read"}


# Made by Info-ZIP, with the encryption that ZIP had first. The password is "sesame".
_OLD_LOCK = bytes.fromhex(
    "504b03040a00090000000279745da37b8479180000000c00000007001c006f6c642e74787455540900035462006b5462006b"
    "75780b000104000000000400000000b3c0bd422eb39081062a7fc46be13188f15bd53be0fba6e0504b0708a37b8479180000"
    "000c000000504b01021e030a00090000000279745da37b8479180000000c000000070018000000000001000000a481000000"
    "006f6c642e74787455540500035462006b75780b000104000000000400000000504b050600000000010001004d0000006900"
    "00000000"
)


async def test_an_old_password_opens_it_too(tmp_path: Path) -> None:
    for number in range(5):
        place = tmp_path / str(number)
        place.mkdir()
        assert await refusal(_OLD_LOCK, place, password=f"wrong {number}") is CODE.PASSWORD_WRONG
    assert await unpack(_OLD_LOCK, tmp_path, password="sesame") == {"old.txt": b"words of old"}
