"""Take the protection off Office and OpenDocument files. Readers of PDF do that themselves."""

import base64
import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, NoReturn, Protocol, cast
from xml.etree import ElementTree

from services.knowledge_base.ingestion.extract.containers import open_ole
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    ExtractionCode,
    ExtractionError,
    Source,
    damaged,
    password_needed,
    password_wrong,
    unsupported,
)

# Office's own is 100,000 and LibreOffice's too. What a file says may be made to keep us busy.
_ROUNDS = 1_000_000
_MANIFEST = "META-INF/manifest.xml"
_MANIFEST_BYTES = 10_000_000
_NAMESPACE = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
# What is read of a document; pictures stay locked.
_WANTED = frozenset({"content.xml", "meta.xml", "styles.xml"})
_CHECKED = 1024


def unlocked_office(source: Source) -> Source:
    """The same source, or what it protects."""
    source.file.seek(0)
    with open_ole(source.file) as ole:
        package = ole.exists("EncryptedPackage")
        if not package and not ole.exists("Workbook"):
            return source
        if package and not ole.exists("EncryptionInfo"):
            damaged("The document is protected with a password, but how is missing in it: it is damaged.")
    return replace(source, file=_office(source, package))


class _Office(Protocol):
    """The part of msoffcrypto that is used: it has no types."""

    def is_encrypted(self) -> bool: ...
    def load_key(self, password: str, **options: bool) -> None: ...
    def decrypt(self, outfile: BinaryIO) -> None: ...


def _office(source: Source, package: bool) -> BinaryIO:
    """What a package of today, or a workbook of former times, protects."""
    import msoffcrypto  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs] - seldom needed, has none
    from msoffcrypto.exceptions import DecryptionError, InvalidKeyError  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

    file = io.BytesIO()
    try:
        office = cast(_Office, msoffcrypto.OfficeFile(source.file))  # pyright: ignore[reportUnknownMemberType]
        if not package and not office.is_encrypted():
            return source.file
        details = cast(Mapping[str, int], getattr(office, "info", {}))
        _check_rounds(details.get("spinValue", 0))
        office.load_key(_password(source), **({"verify_password": True} if package else {}))
        office.decrypt(file)
    except InvalidKeyError:
        password_wrong()
    except DecryptionError:
        unsupported("The document is protected in a way that is not known here. Remove the protection.")
    file.seek(0)
    return file


def unlocked_open_document(source: Source, limits: ContentLimits) -> Source:
    """The same source, or what it protects."""
    with zipfile.ZipFile(source.file) as archive:
        if _MANIFEST not in archive.namelist():
            return source
        with archive.open(_MANIFEST) as stream:
            manifest = stream.read(_MANIFEST_BYTES)
        if b"encryption-data" not in manifest:
            return source
        password = _password(source)
        return replace(source, file=_open_document(archive, manifest, password, limits))


def _password(source: Source) -> str:
    return source.password or password_needed()


def _check_rounds(rounds: int) -> None:
    if not 0 <= rounds <= _ROUNDS:
        raise ExtractionError(
            ExtractionCode.TOO_HEAVY, "The document's protection takes longer to be taken off than it may."
        )


@dataclass(frozen=True, slots=True)
class _Lock:
    checksum: bytes
    vector: bytes
    salt: bytes
    rounds: int
    start_hash: str

    def open(self, data: bytes, password: str, limits: ContentLimits) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - seldom needed

        start = hashlib.new(self.start_hash, password.encode()).digest()
        key = hashlib.pbkdf2_hmac("sha1", start, self.salt, self.rounds, 32)
        cipher = Cipher(algorithms.AES(key), modes.CBC(self.vector)).decryptor()
        packed = cipher.update(data) + cipher.finalize()
        packed = packed[: -packed[-1]] if packed and packed[-1] <= 16 else packed
        if hashlib.sha256(packed[:_CHECKED]).digest() != self.checksum:
            password_wrong()
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limits.unpacked_bytes + 1)
        if len(found) > limits.unpacked_bytes:
            raise ExtractionError(ExtractionCode.TOO_LARGE, "The document unpacks to more than it may.")
        return found


def _open_document(archive: zipfile.ZipFile, manifest: bytes, password: str, limits: ContentLimits) -> BinaryIO:
    locks = _locks(manifest)
    if "encrypted-package" in locks or "content.xml" not in locks:
        _unknown_lock()
    _check_rounds(sum(lock.rounds for lock in locks.values() if lock))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("mimetype", archive.read("mimetype"))
        opened.writestr(_MANIFEST, manifest.replace(b"encryption-data", b"former-data"))
        for name in sorted(_WANTED & set(archive.namelist())):
            lock = locks.get(name, _NO_LOCK)
            if lock is None:
                _unknown_lock()
            data = _stored(archive, name, limits)
            opened.writestr(name, data if lock is _NO_LOCK else lock.open(data, password, limits))
    file.seek(0)
    return file


_NO_LOCK = _Lock(b"", b"", b"", 0, "")


def _stored(archive: zipfile.ZipFile, name: str, limits: ContentLimits) -> bytes:
    if archive.getinfo(name).file_size > limits.unpacked_bytes:
        raise ExtractionError(ExtractionCode.TOO_LARGE, "The document unpacks to more than it may.")
    return archive.read(name)


def _locks(manifest: bytes) -> Mapping[str, _Lock | None]:
    """How each entry is protected; None in a way that is not known."""
    if b"<!DOCTYPE" in manifest.replace(b"\x00", b""):
        damaged("The document declares XML entities: it is damaged or made to do harm.")
    root = ElementTree.fromstring(manifest)
    return {
        str(entry.get(f"{_NAMESPACE}full-path")): _lock(data)
        for entry in root.iter(f"{_NAMESPACE}file-entry")
        if entry.get(f"{_NAMESPACE}full-path") in _WANTED | {"encrypted-package"}
        for data in entry.iterfind(f"{_NAMESPACE}encryption-data")
    }


def _lock(data: ElementTree.Element) -> _Lock | None:
    def said(element: str, name: str) -> str:
        found = data.find(f"{_NAMESPACE}{element}")
        return "" if found is None else found.get(f"{_NAMESPACE}{name}") or ""

    start = said("start-key-generation", "start-key-generation-name").rpartition("#")[2].lower()
    known = (
        said("algorithm", "algorithm-name").endswith("#aes256-cbc")
        and said("key-derivation", "key-derivation-name").rpartition("#")[2].upper() == "PBKDF2"
        and (data.get(f"{_NAMESPACE}checksum-type") or "").lower().endswith("#sha256-1k")
        and start in ("sha1", "sha256")
    )
    if not known:
        return None
    return _Lock(
        base64.b64decode(data.get(f"{_NAMESPACE}checksum") or ""),
        base64.b64decode(said("algorithm", "initialisation-vector")),
        base64.b64decode(said("key-derivation", "salt")),
        int(said("key-derivation", "iteration-count")),
        start,
    )


def _unknown_lock() -> NoReturn:
    unsupported(
        "The document is protected in a way that is not known here. "
        "Save it without a password, or with one in OpenDocument 1.2 format."
    )
