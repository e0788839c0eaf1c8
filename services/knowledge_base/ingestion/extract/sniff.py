"""Tell a document's format from its content. Its name only decides between Markdown and plain text."""

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import PurePath
from typing import NoReturn

from services.knowledge_base.ingestion.extract.model import (
    DocumentFormat,
    ExtractionCode,
    ExtractionError,
    damaged,
)

_HEAD = 2048
_BLANK = b"\x00 \t\r\n"
_MARKDOWN_NAMES = frozenset({".md", ".markdown", ".mdown", ".mkd"})

_MAGIC: Mapping[bytes, str] = {
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"BM": "a bitmap image",
    b"RIFF": "a sound, video or WebP file",
    b"ID3": "a sound file",
    b"\xff\xfb": "a sound file",
    b"OggS": "a sound or video file",
    b"\x1aE\xdf\xa3": "a video file",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"SQLite format 3": "a database",
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_WORD_MAIN = b"wordprocessingml.document.main+xml"
_PACKAGE_TYPES: Mapping[bytes, str] = {
    # Presentations are asked first: they often hold workbooks, the other way round is rare.
    b"ms-word.document.macroEnabled": "a Word document with macros (save it as .docx)",
    b"wordprocessingml.template": "a Word template (save it as .docx)",
    b"presentationml": "a PowerPoint presentation",
    b"ms-powerpoint": "a PowerPoint presentation",
    b"spreadsheetml": "an Excel workbook",
    b"ms-excel": "an Excel workbook",
}
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,1000}?-->\s*)*<(?:!doctype\s+html|html)[\s>]", re.I | re.S)
# A memo may begin with From, To and Subject too; only software writes these.
_MAIL_HEADER = re.compile(rb"^(?:received|return-path|message-id|mime-version|delivered-to|x-[a-z-]+):", re.I | re.M)
_HEADER_LINE = re.compile(rb"(?:From \S|[!-9;-~]+:|[ \t])")


def sniff(data: bytes, name: str) -> DocumentFormat:
    """The format of a document we can read; raises `ExtractionError` for every other content."""
    if not data.strip(_BLANK):
        raise _empty()
    head = data[:_HEAD]
    found = check_head(head, name)
    if found is not None:
        return found
    if head.startswith(_OLE):
        _refuse_ole(data)
    return _sniff_zip(data)


def check_head(head: bytes, name: str) -> DocumentFormat | None:
    """As much of `sniff` as a document's first 2048 bytes allow: None when the rest must be seen."""
    if len(head) < _HEAD and not head.strip(_BLANK):
        raise _empty()
    if b"%PDF-" in head[:1024]:
        return DocumentFormat.PDF
    if head.startswith((*_ZIP, _OLE)):
        return None
    for magic, what in _MAGIC.items():
        if head.startswith(magic) and not _reads_as_text(head):
            _refuse(what)
    if head.startswith(b"{\\rtf"):
        _refuse("a rich text (RTF) file")
    if _HTML.match(head):
        _refuse("an HTML page")
    if _looks_like_mail(head):
        _refuse("an e-mail")
    return DocumentFormat.MARKDOWN if PurePath(name).suffix.lower() in _MARKDOWN_NAMES else DocumentFormat.TEXT


def _empty() -> ExtractionError:
    return ExtractionError(ExtractionCode.EMPTY, "The file is empty.")


def _refuse(what: str) -> NoReturn:
    raise ExtractionError(
        ExtractionCode.UNSUPPORTED,
        f"The file is {what}. Text, Markdown, PDF and Word (.docx) documents can be read.",
    )


def _reads_as_text(head: bytes) -> bool:
    """ "BM" and "MZ" may begin a sentence too."""
    return not any(byte < 9 or 13 < byte < 27 for byte in head)


def _refuse_ole(data: bytes) -> NoReturn:
    if _OLE_ENCRYPTED in data:
        raise ExtractionError(
            ExtractionCode.ENCRYPTED, "The document is protected with a password. Remove it and upload again."
        )
    _refuse("an old Office or Outlook file (save it as .docx)")


def _sniff_zip(data: bytes) -> DocumentFormat:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if "[Content_Types].xml" not in names:
                _refuse(_other_zip(archive, names))
            with archive.open("[Content_Types].xml") as stream:
                types = stream.read(1_000_000)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError):
        damaged("The file begins like a Word document but is damaged or cut off.")
    if _WORD_MAIN in types:
        return DocumentFormat.DOCX
    _refuse(next((what for mark, what in _PACKAGE_TYPES.items() if mark in types), "an Office file of another kind"))


def _other_zip(archive: zipfile.ZipFile, names: set[str]) -> str:
    if "mimetype" not in names or archive.getinfo("mimetype").file_size > 200:
        return "a ZIP archive"
    kind = archive.read("mimetype")
    if b"epub" in kind:
        return "an EPUB book"
    return "an OpenDocument file (save it as .docx)" if b"opendocument" in kind else "a ZIP archive"


def _looks_like_mail(head: bytes) -> bool:
    block = head.lstrip().replace(b"\r\n", b"\n").split(b"\n\n", 1)[0]
    lines = block.split(b"\n")
    lines = lines[:-1] if len(lines) > 1 else lines  # the last may be cut off
    return bool(_MAIL_HEADER.search(block)) and all(_HEADER_LINE.match(line) for line in lines)
