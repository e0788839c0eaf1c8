"""Images: only their size is looked at here. What is written in them is for OCR to find."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
    damaged,
    unsupported,
)

# An A3 page at 600 dots per inch has 70 million.
PIXELS = 100_000_000
_SIDE = 32_767
_SEGMENTS = 10_000
# Segments of a JPEG that tell its size.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_WIDTH, _HEIGHT = 256, 257
_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}


def extract_image(source: Source, limits: ContentLimits) -> Extracted:
    count = 0
    source.file.seek(0)
    try:
        for width, height in sizes(source.file):
            check_size(width, height)
            count += 1
            if count > limits.pages:
                raise ExtractionError(ExtractionCode.TOO_LARGE, f"The image has over {limits.pages:,} pages.")
    except (struct.error, IndexError):
        damaged("The image is damaged or cut off.")
    if not count:
        damaged("The image is damaged or cut off.")
    return Extracted(DocumentFormat.IMAGE, "", pages=(0,) * count, images_only=tuple(range(1, count + 1)))


def check_size(width: int, height: int) -> None:
    """Before it is unpacked: a few bytes may say that they are thousands of millions of points."""
    if not width or not height:
        damaged("The image is damaged: it has no size.")
    if width > _SIDE or height > _SIDE or width * height > PIXELS:
        raise ExtractionError(
            ExtractionCode.TOO_LARGE,
            f"The image has {width:,} by {height:,} points, over {PIXELS // 1_000_000} million.",
        )


def sizes(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Width and height of each image in the file, as its headers say."""
    head = file.read(32)
    if head.startswith(b"\x89PNG"):
        yield struct.unpack(">II", head[16:24])
    elif head.startswith(b"\xff\xd8"):
        yield _jpeg(file)
    elif head.startswith(b"GIF8"):
        yield struct.unpack("<HH", head[6:10])
    elif head.startswith(b"BM"):
        width, height = struct.unpack("<ii", head[18:26])
        yield abs(width), abs(height)
    elif head.startswith(b"RIFF"):
        yield _webp(head)
    elif head.startswith((b"II", b"MM")):
        yield from _tiff(file, head)
    else:
        unsupported("The image is of a kind that cannot be read. Save it as .png or .jpg.")


def _jpeg(file: BinaryIO) -> tuple[int, int]:
    file.seek(2)
    for _ in range(_SEGMENTS):
        marker = file.read(2)
        while marker[1] == 0xFF:  # filling
            marker = marker[1:] + file.read(1)
        if marker[0] != 0xFF:
            break
        (length,) = struct.unpack(">H", file.read(2))
        if marker[1] in _FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return width, height
        file.seek(length - 2, 1)
    damaged("The image is damaged or cut off.")


def _webp(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _tiff(file: BinaryIO, head: bytes) -> Iterator[tuple[int, int]]:
    order = "<" if head.startswith(b"II") else ">"
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    number, entry = ("Q", "HHQ8s") if big else ("H", "HHI4s")
    offset_form = f"{order}{'Q' if big else 'I'}"
    begin = 8 if big else 4
    (offset,) = struct.unpack(offset_form, head[begin : begin + struct.calcsize(offset_form)])
    seen: set[int] = set()
    while offset:
        if offset in seen:
            damaged("The image's pages refer to each other in a circle.")
        seen.add(offset)
        file.seek(offset)
        (count,) = struct.unpack(f"{order}{number}", file.read(struct.calcsize(f"{order}{number}")))
        if count > _SEGMENTS:
            damaged("The image is damaged or cut off.")
        found: dict[int, int] = {}
        for _ in range(count):
            tag, kind, _, value = struct.unpack(order + entry, file.read(struct.calcsize(order + entry)))
            if tag in (_WIDTH, _HEIGHT) and kind in _TIFF_TYPES:
                form = order + _TIFF_TYPES[kind]
                (found[tag],) = struct.unpack(form, value[: struct.calcsize(form)])
        yield found.get(_WIDTH, 0), found.get(_HEIGHT, 0)
        (offset,) = struct.unpack(offset_form, file.read(struct.calcsize(offset_form)))
