"""Tell a document's format from its content. Its name only decides between the formats that are all plain text."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import NoReturn

from services.knowledge_base.ingestion.extract.containers import sniff_ole, sniff_zip
from services.knowledge_base.ingestion.extract.model import (
    DocumentFormat,
    ExtractionCode,
    ExtractionError,
    Source,
    unsupported,
)

HEAD = 2048
_BLANK = b"\x00 \t\r\n"
_PIECE = 1024 * 1024

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_IMAGES = (
    b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+",
    b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip

_SOUND, _VIDEO, _PROGRAM, _DISK = "a sound file", "a video file", "a program", "the image of a disk"
_ARCHIVE = "an archive of a kind that is not unpacked (make it a .zip)"
_MAGIC: Mapping[bytes, str] = {
    b"ID3": _SOUND, b"\xff\xfb": _SOUND, b"\xff\xf3": _SOUND, b"\xff\xf1": _SOUND, b"fLaC": _SOUND, b"MThd": _SOUND,
    b"#!AMR": _SOUND, b"OggS": "a sound or video file", b"0&\xb2u": "a sound or video file",
    b"\x1aE\xdf\xa3": _VIDEO, b"FLV\x01": _VIDEO, b"\x00\x00\x01\xba": _VIDEO, b"\x00\x00\x01\xb3": _VIDEO,
    b"\x7fELF": _PROGRAM, b"MZ": _PROGRAM, b"\xca\xfe\xba\xbe": _PROGRAM, b"\xcf\xfa\xed\xfe": _PROGRAM,
    b"\xce\xfa\xed\xfe": _PROGRAM, b"\x00asm": _PROGRAM, b"dex\n": _PROGRAM, b"!<arch>\n": _PROGRAM,
    b"\x1f\x8b": _ARCHIVE, b"\x1f\x9d": _ARCHIVE, b"BZh": _ARCHIVE, b"\xfd7zXZ": _ARCHIVE, b"7z\xbc\xaf": _ARCHIVE,
    b"Rar!": _ARCHIVE, b"(\xb5/\xfd": _ARCHIVE, b"\x04\"M\x18": _ARCHIVE, b"MSCF": _ARCHIVE, b"xar!": _ARCHIVE,
    b"QFI\xfb": _DISK, b"KDMV": _DISK, b"conectix": _DISK, b"vhdxfile": _DISK,
    b"SQLite format 3": "a database", b"\x00\x01\x00\x00Standard ": "a database", b"PAR1": "a Parquet table",
    b"8BPS": "a Photoshop image", b"AT&TFORM": "a DjVu document (save it as PDF)", b"%!PS": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file", b"ITSF": "a Windows help file", b"!BDN": "an Outlook store",
    b"\xffWPC": "a WordPerfect document (save it as .docx)", b"AC10": "a drawing", b"wOFF": "a font",
    b"wOF2": "a font", b"OTTO": "a font", b"\x00\x01\x00\x00\x00": "a font", b"\xd7\xcd\xc6\x9a": "a Windows drawing",
}  # fmt: skip
# What stands in a container whose kind comes after its length.
_RIFF: Mapping[bytes, str] = {b"WAVE": _SOUND, b"AVI ": _VIDEO, b"RMID": _SOUND, b"AIFF": _SOUND, b"AIFC": _SOUND}
_HEIF = (b"hei", b"hev", b"mif1", b"msf1", b"avif", b"avis")
# Only asked of content that is no text: the beginning of these files tells nothing.
_NAMES: Mapping[str, str] = {
    **dict.fromkeys((".iso", ".img", ".dmg", ".vmdk", ".vhd", ".vdi", ".bin"), _DISK),
    **dict.fromkeys((".mp3", ".wav", ".m4a", ".aac", ".flac", ".ogg", ".wma", ".aiff", ".opus"), _SOUND),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".wmv", ".webm", ".mpg", ".mpeg", ".m4v", ".ts"), _VIDEO),
    **dict.fromkeys((".exe", ".dll", ".com", ".so", ".class", ".pyc", ".o", ".apk", ".msi", ".deb", ".rpm"), _PROGRAM),
    **dict.fromkeys((".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2", ".lz4", ".zst"), _ARCHIVE),
}

_TEXT_NAMES: Mapping[str, DocumentFormat] = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd", ".mkdn"), DocumentFormat.MARKDOWN),
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv"), DocumentFormat.CSV),
}
_HTML_NAMES = frozenset({".html", ".htm", ".xhtml", ".xht", ".shtml"})
_MAIL_NAMES = frozenset({".eml", ".mht", ".mhtml", ".mim"})
_PDF = re.compile(rb"(?:\A|[\r\n])[ \t]*%PDF-\d")
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,1000}?-->\s*)*<(?:!doctype\s+html|html|head|body|title|meta)[\s>]",
    re.I | re.S,
)
_TAG = re.compile(rb"<(?:[a-z][a-z0-9]*[\s/>]|!--|!doctype)", re.I)
# A memo may begin with From, To and Subject too; only software writes these.
_MAIL_HEADER = re.compile(rb"^(?:received|return-path|message-id|mime-version|delivered-to|x-[a-z-]+):", re.I | re.M)
_MEMO_HEADER = re.compile(rb"^(?:from|to|subject|date|sender|cc|content-type):", re.I | re.M)
_HEADER_LINE = re.compile(rb"(?:[!-9;-~]+[ \t]*:|[ \t])")
_MBOX = re.compile(rb"From \S[^\n]*(?:19|20)\d\d[^\n]*\n")


def sniff(source: Source) -> DocumentFormat:
    """The format of a document; raises `ExtractionError` for what can never be one."""
    _check_not_blank(source)
    head = source.head(HEAD)
    found = check_head(head, source.name)
    if found is not None:
        return found
    source.file.seek(0)
    return sniff_ole(source.file) if head.startswith(_OLE) else sniff_zip(source.file)


def is_ole(source: Source) -> bool:
    return source.head(len(_OLE)) == _OLE


def check_head(head: bytes, name: str) -> DocumentFormat | None:
    """As much of `sniff` as a document's first 2048 bytes allow: None when the rest must be seen."""
    if len(head) < HEAD and not head.strip(_BLANK):
        raise _empty()
    if head.startswith((*_ZIP, _OLE)):
        return None
    is_text = _reads_as_text(head)
    if _PDF.search(head[:1024]) or (not is_text and b"%PDF-" in head[:1024]):
        return DocumentFormat.PDF
    if _is_image(head, is_text):
        return DocumentFormat.IMAGE
    suffix = PurePath(name.replace("\\", "/")).suffix.lower()
    _check_magic(head, is_text, suffix)
    if not is_text and not _is_wide(head) and suffix in _NAMES:
        _refuse(_NAMES[suffix])
    return _text_format(head.removeprefix(b"\xef\xbb\xbf"), suffix) if is_text else _text_format(_narrow(head), suffix)


def _text_format(head: bytes, suffix: str) -> DocumentFormat:
    if head.lstrip().startswith(b"{\\rtf"):
        return DocumentFormat.RTF
    if _HTML.match(head) or (suffix in _HTML_NAMES and _TAG.search(head)):
        return DocumentFormat.HTML
    mail = _mail_format(head.lstrip().replace(b"\r\n", b"\n"), suffix)
    return mail or _TEXT_NAMES.get(suffix, DocumentFormat.TEXT)


def _mail_format(head: bytes, suffix: str) -> DocumentFormat | None:
    begin = _MBOX.match(head)
    block = head[begin.end() if begin else 0 :].split(b"\n\n", 1)[0]
    lines = block.split(b"\n")
    lines = lines[:-1] if len(lines) > 1 else lines  # the last may be cut off
    if not all(_HEADER_LINE.match(line) for line in lines):
        return None
    if not _MAIL_HEADER.search(block) and not (_MEMO_HEADER.search(block) and (begin or suffix in _MAIL_NAMES)):
        return None
    return DocumentFormat.MBOX if begin and suffix not in _MAIL_NAMES else DocumentFormat.EML


def _is_image(head: bytes, is_text: bool) -> bool:
    if head.startswith(b"BM"):
        return not is_text
    return head.startswith(_IMAGES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


def _check_magic(head: bytes, is_text: bool, suffix: str) -> None:
    if head[4:8] == b"ftyp":
        _refuse(_media(head[8:12], suffix))
    if head.startswith((b"RIFF", b"FORM")) and head[8:12] in _RIFF:
        _refuse(_RIFF[head[8:12]])
    if head[257:262] == b"ustar":
        _refuse(_ARCHIVE)
    if head[128:132] == b"DICM":
        _refuse("a medical image")
    for magic, what in _MAGIC.items():
        # "BM" and "MZ" may begin a sentence too.
        if head.startswith(magic) and (not is_text or len(magic) > 3):
            _refuse(what)


def _media(brand: bytes, suffix: str) -> str:
    if brand.startswith(_HEIF):
        return "an image of a kind that is not known here (save it as .jpg)"
    return _SOUND if brand.startswith((b"M4A", b"M4B")) or _NAMES.get(suffix) == _SOUND else _VIDEO


def _reads_as_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 27 for byte in head)


def _is_wide(head: bytes) -> bool:
    """UTF-16 and UTF-32, with a mark or by every other byte being zero."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.startswith(b"\x00\x00\xfe\xff"):
        return True
    even, odd = head[0::2].count(0), head[1::2].count(0)
    return min(even, odd) * 10 < max(even, odd) and max(even, odd) * 5 > len(head)


def _narrow(head: bytes) -> bytes:
    return head.lstrip(b"\xff\xfe\x00").replace(b"\x00", b"") if _is_wide(head) else head


def _check_not_blank(source: Source) -> None:
    source.file.seek(0)
    while piece := source.file.read(_PIECE):
        if piece.strip(_BLANK):
            return
    raise _empty()


def _empty() -> ExtractionError:
    return ExtractionError(ExtractionCode.EMPTY, "The file is empty.")


def _refuse(what: str) -> NoReturn:
    unsupported(f"The file is {what}, which cannot be read.")
