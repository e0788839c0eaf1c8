"""Pages as images, for OCR: pages of a PDF, an image file's own, and pictures in Office files that have no text."""

import io
import re
import zipfile
from dataclasses import dataclass

from services.knowledge_base.ingestion.extract.image import check_size, sizes
from services.knowledge_base.ingestion.extract.model import DocumentFormat, Source, damaged

# What letters of the usual size are recognised best at.
_DOTS_PER_INCH = 300
_LARGEST = 40_000_000
_FOLDERS: dict[DocumentFormat, str] = {
    DocumentFormat.DOCX: "word/media/",
    DocumentFormat.PPTX: "ppt/media/",
    DocumentFormat.ODT: "Pictures/",
    DocumentFormat.ODP: "Pictures/",
}
PICTURED = frozenset(_FOLDERS)
_KINDS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
_PICTURE_BYTES = 50_000_000
_PICTURES = 50
# Smaller ones are ornament.
_SIDE = 60
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Picture:
    """`data` is a file that an image program reads; None when it is the source itself, of which page `page` (from 0)
    is meant."""

    data: bytes | None
    page: int = 0


def picture(source: Source, found: DocumentFormat, page: int) -> Picture:
    """Of the page with this number, from 1."""
    if found is DocumentFormat.PDF:
        return Picture(_pdf_page(source, page))
    if found is DocumentFormat.IMAGE:
        source.file.seek(0)
        all_sizes = list(sizes(source.file))
        if page > len(all_sizes):
            damaged("The image has no such page.")
        check_size(*all_sizes[page - 1])
        return Picture(None, page - 1)
    names = pictures_in(source, found)
    if page > len(names):
        damaged("The document has no such picture.")
    with zipfile.ZipFile(source.file) as archive:
        return Picture(archive.read(names[page - 1]))


def pictures_in(source: Source, found: DocumentFormat) -> list[str]:
    """Of an Office file, in the order in which it numbers them: those that may have text in them."""
    folder = _FOLDERS.get(found)
    if folder is None:
        return []
    with zipfile.ZipFile(source.file) as archive:
        entries = [
            entry
            for entry in archive.infolist()
            if entry.filename.startswith(folder)
            and entry.filename.lower().endswith(_KINDS)
            and 0 < entry.file_size <= _PICTURE_BYTES
        ]
        entries.sort(key=lambda entry: _in_order(entry.filename))
        return [entry.filename for entry in entries[:_PICTURES] if _is_legible(archive, entry)]


def _in_order(name: str) -> list[str | int]:
    return [int(part[:9]) if index % 2 else part for index, part in enumerate(_NUMBERS.split(name))]


def _is_legible(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        width, height = next(sizes(io.BytesIO(archive.read(entry))))
        check_size(width, height)
    except Exception:  # noqa: BLE001 - one of many pictures, and damaged in some way
        return False
    return width >= _SIDE and height >= _SIDE


def _pdf_page(source: Source, page: int) -> bytes:
    # Whoever only asks which pictures there are needs no PDF library.
    from services.knowledge_base.ingestion.extract.render import render_page  # noqa: PLC0415

    width, height, rows = render_page(source.read(), page - 1, source.password, _DOTS_PER_INCH, _LARGEST)
    return b"P5\n%d %d\n255\n" % (width, height) + rows
