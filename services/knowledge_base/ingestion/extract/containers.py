"""Tell apart the formats that are archives of their own: those in ZIP, and those in Microsoft's older OLE."""

import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol, cast

import olefile

from services.knowledge_base.ingestion.extract.model import DocumentFormat, damaged, unsupported

_ENTRIES = 100_000
_TYPES_BYTES = 1_000_000
# The type of a package's main part ends in `main+xml`, or in nothing for workbooks in binary.
_MAIN = re.compile(
    r"""ContentType\s*=\s*["'][^"']*?(wordprocessingml|presentationml|spreadsheetml|ms-word|ms-powerpoint|ms-excel"""
    r"""|ms-visio)[^"']*\.main(?:\+xml)?["']""",
    re.I,
)
_OFFICE: Mapping[str, DocumentFormat] = {
    "wordprocessingml": DocumentFormat.DOCX,
    "ms-word": DocumentFormat.DOCX,
    "presentationml": DocumentFormat.PPTX,
    "ms-powerpoint": DocumentFormat.PPTX,
    "spreadsheetml": DocumentFormat.SHEETS,
    "ms-excel": DocumentFormat.SHEETS,
}
_OPEN_DOCUMENT: Mapping[str, DocumentFormat] = {
    "text": DocumentFormat.ODT,
    "presentation": DocumentFormat.ODP,
    "spreadsheet": DocumentFormat.SHEETS,
}
_OPEN_DOCUMENT_TYPE = re.compile(r"application/vnd\.oasis\.opendocument\.([a-z]+)")
_OPEN_DOCUMENT_ROOT = re.compile(r"""full-path\s*=\s*["']/["']""")
_OLD_OFFICE: tuple[tuple[str, str], ...] = (
    ("WordDocument", "an old Word document (.doc). Save it as .docx"),
    ("PowerPoint Document", "an old PowerPoint presentation (.ppt). Save it as .pptx"),
    ("VisioDocument", "a Visio drawing. Save it as PDF"),
    ("Quill", "a Publisher document. Save it as PDF"),
)
_ZIP_ERRORS = (
    zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, IndexError,
)  # fmt: skip


def sniff_zip(file: BinaryIO) -> DocumentFormat:
    try:
        with zipfile.ZipFile(file) as archive:
            names = {name.replace("\\", "/").lower(): name for name in archive.namelist()[:_ENTRIES]}
            return _package(archive, names)
    except _ZIP_ERRORS:
        damaged("The file begins like a ZIP archive or an Office document but is damaged or cut off.")


def _package(archive: zipfile.ZipFile, names: Mapping[str, str]) -> DocumentFormat:
    if types := names.get("[content_types].xml"):
        found = _office_format(_read(archive, types))
        if found is not None:
            return found
    if mimetype := names.get("mimetype"):
        found = _by_media_type(_read(archive, mimetype).strip())
        if found is not None:
            return found
    if "meta-inf/container.xml" in names and any(name.endswith(".opf") for name in names):
        return DocumentFormat.EPUB
    if (manifest := names.get("meta-inf/manifest.xml")) and "content.xml" in names:
        return _open_document(_main_entry(_read(archive, manifest)))
    _refuse_known(names)
    return DocumentFormat.ZIP


def _office_format(types: str) -> DocumentFormat | None:
    main = _MAIN.search(types)
    if main is None:
        return None
    kind = main[1].lower()
    if kind not in _OFFICE:
        unsupported("The file is a Visio drawing, which cannot be read. Save it as PDF.")
    return _OFFICE[kind]


def _by_media_type(media_type: str) -> DocumentFormat | None:
    if media_type == "application/epub+zip":
        return DocumentFormat.EPUB
    return _open_document(media_type) if media_type.startswith("application/vnd.oasis.opendocument") else None


def _open_document(media_type: str) -> DocumentFormat:
    kind = _OPEN_DOCUMENT_TYPE.match(media_type)
    if kind is None or kind[1] not in _OPEN_DOCUMENT:
        unsupported("The file is an OpenDocument drawing, chart or database, which cannot be read. Save it as PDF.")
    return _OPEN_DOCUMENT[kind[1]]


def _main_entry(manifest: str) -> str:
    for entry in manifest.split("<")[:10_000]:
        if _OPEN_DOCUMENT_ROOT.search(entry) and (found := _OPEN_DOCUMENT_TYPE.search(entry)):
            return found[0]
    return ""


def _refuse_known(names: Iterable[str]) -> None:
    for name in names:
        if name in ("androidmanifest.xml", "classes.dex", "meta-inf/manifest.mf"):
            unsupported("The file is a program, which cannot be read.")
        if name == "index.zip" or name.endswith(".iwa"):
            unsupported("The file is made by Apple's Pages, Numbers or Keynote, which cannot be read. Save it as PDF.")


def _read(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as stream:
        data = stream.read(_TYPES_BYTES)
    return data.replace(b"\x00", b"").decode("utf-8", "replace")  # without zeros also UTF-16 is legible enough


def sniff_ole(file: BinaryIO) -> DocumentFormat:
    with open_ole(file) as ole:
        if ole.exists("__properties_version1.0"):
            return DocumentFormat.MSG
        if ole.exists("Workbook") or ole.exists("Book"):
            return DocumentFormat.SHEETS
        for stream, what in _OLD_OFFICE:
            if ole.exists(stream):
                unsupported(f"The file is {what}.")
    unsupported("The file is an old Office file or a Windows installer of a kind that cannot be read.")


class Ole(Protocol):
    """The part of olefile that is used: its types are incomplete."""

    def exists(self, filename: str) -> bool: ...


def open_ole(file: BinaryIO) -> AbstractContextManager[Ole]:
    try:
        return cast(AbstractContextManager[Ole], olefile.OleFileIO(file))
    except (OSError, ValueError, IndexError, RecursionError):
        damaged("The file begins like an old Office or Outlook file but is damaged or cut off.")
