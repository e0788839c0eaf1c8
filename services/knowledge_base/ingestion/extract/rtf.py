"""Rich text. Its control words that structure it are turned into marks before they are taken away with the others."""

import re
from collections.abc import Callable, Iterator
from typing import cast

from striprtf import striprtf

from services.knowledge_base.ingestion.extract.assembly import as_title
from services.knowledge_base.ingestion.extract.compose import Composer, looks_like_head, one_line
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
    damaged,
)

# The library carries no types.
_strip = cast("Callable[..., str]", striprtf.rtf_to_text)  # pyright: ignore[reportUnknownMemberType]

# Private characters that stand for structure while the text is stripped.
_CELL, _ROW, _ROW_BEGIN = "\ue000", "\ue001", "\ue002"
_LEVEL = 0xE010
_PICTURE = re.compile(rb"(?:[0-9a-fA-F]{2}\s*){200,}")
_BINARY = re.compile(rb"\\bin(\d{1,9}) ?")
_WORDS = re.compile(rb"\\(cell|nestcell|row|nestrow|trowd|outlinelevel[0-8]|s\d{1,4})(?![a-zA-Z0-9])[ ]?")
_STYLE = re.compile(rb"\{\\s(\d{1,4})(?!\d)[^{}]*?(?:heading|[u\xdc]berschrift|titre) ?([1-9])\s*;\}", re.I)
_TITLE = re.compile(rb"\{\\title ((?:[^{}\\]|\\[^{}]|\\[{}])*)\}")
_CODEPAGE = re.compile(rb"\\ansicpg(\d{3,5})")
_MARKS = re.compile(f"[{chr(_LEVEL)}-{chr(_LEVEL + 9)}]")
_PASSWORD = re.compile(rb"\\passwordhash")
_CODEPAGES = {b"65001": "utf-8", b"10000": "mac_roman", b"936": "gb18030"}


def extract_rtf(source: Source, limits: ContentLimits) -> Extracted:
    data = source.read().lstrip()
    if not data.startswith(b"{\\rtf"):
        damaged("The file is not rich text (RTF), or a damaged one.")
    composer = Composer(limits)
    for kind, content in _blocks(_stripped(_marked(data), _encoding(data), limits)):
        if kind == "table":
            rows = [[one_line(_MARKS.sub("", cell)).strip() for cell in row] for row in content]
            composer.table(rows, head=looks_like_head(rows))
        elif kind == "text":
            composer.block(content[0][0])
        else:
            composer.heading(int(kind), content[0][0])
    return composer.extracted(DocumentFormat.RTF, _title(data))


def rtf_to_plain(data: bytes) -> str:
    return _strip(_narrow(_without_binary(data)), encoding=_encoding(data), errors="replace")


def _marked(data: bytes) -> bytes:
    levels = {int(number): int(level) for number, level in _STYLE.findall(data)}
    begin = _end_of_head(data)

    def mark(word: re.Match[bytes]) -> bytes:
        name = word[1]
        if name in (b"cell", b"nestcell"):
            return _escape(_CELL)
        if name in (b"row", b"nestrow"):
            return _escape(_ROW)
        if name == b"trowd":
            return _escape(_ROW_BEGIN)
        level = int(name[12:]) + 1 if name.startswith(b"outline") else levels.get(int(name[1:]), 0)
        return word[0] + _escape(chr(_LEVEL + level)) if level else word[0]

    data = _without_binary(data)
    return data[:begin] + _WORDS.sub(mark, data[begin:])


def _end_of_head(data: bytes) -> int:
    """After the list of styles: there these words describe, and mark nothing."""
    begin = data.find(b"{\\stylesheet")
    depth = 0
    for match in re.finditer(rb"\\[\\{}]|[{}]", data[begin:]) if begin >= 0 else ():
        depth += {b"{": 1, b"}": -1}.get(match[0], 0)
        if depth == 0:
            return begin + match.end()
    return 0


def _escape(mark: str) -> bytes:
    # A group of its own, so that how many characters stand in for it elsewhere does not matter.
    return b"{\\uc0\\u" + str(ord(mark) - 0x10000).encode() + b" }"


def _without_binary(data: bytes) -> bytes:
    pieces: list[bytes] = []
    last = 0
    for match in _BINARY.finditer(data):
        if match.start() >= last:
            pieces.append(data[last : match.start()])
            last = match.end() + int(match[1])
    return _PICTURE.sub(b"", b"".join([*pieces, data[last:]]))


def _stripped(data: bytes, encoding: str, limits: ContentLimits) -> str:
    text = _strip(_narrow(data), encoding=encoding, errors="replace")
    if len(text) > limits.characters:
        raise ExtractionError(
            ExtractionCode.TOO_LARGE, f"The document holds more than {limits.characters:,} characters of text."
        )
    return text


def _narrow(data: bytes) -> str:
    """Beyond ASCII only where a program did not keep to the rules; each byte is written as it should be."""
    return re.sub(rb"[\x80-\xff]", lambda byte: b"\\'%02x" % byte[0][0], data).decode("ascii")


def _encoding(data: bytes) -> str:
    found = _CODEPAGE.search(data[:4096])
    name = _CODEPAGES.get(found[1], f"cp{found[1].decode()}") if found else "cp1252"
    try:
        "".encode(name)
    except LookupError:
        return "cp1252"
    return name


def _title(data: bytes) -> str | None:
    found = _TITLE.search(data[:200_000])
    if found is None:
        return None
    return as_title(_strip("{\\rtf1 " + _narrow(found[1]) + "}", encoding=_encoding(data), errors="replace"))


def _blocks(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Paragraphs, headings (by their level) and tables, as they follow one another."""
    rows: list[list[str]] = []
    for piece in text.split(_ROW):
        before, row = _row(piece)
        if before.strip() and rows:
            yield "table", rows
            rows = []
        yield from _paragraphs(before)
        cells = row.split(_CELL)
        if any(cell.strip() for cell in cells):
            rows.append(cells if cells[-1].strip() else cells[:-1])
    if rows:
        yield "table", rows


def _row(piece: str) -> tuple[str, str]:
    """What stands before a row, and the row. Often only the first row of a table says that one begins."""
    begin = piece.find(_ROW_BEGIN)
    if begin < 0 and _CELL in piece:
        begin = piece.rfind("\n", 0, piece.find(_CELL))
        return piece[: begin + 1], piece[begin + 1 :]
    return (piece, "") if begin < 0 else (piece[:begin], piece[begin:].replace(_ROW_BEGIN, ""))


def _paragraphs(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    for line in re.split(r"\n+", text):
        mark = _MARKS.search(line)
        plain = _MARKS.sub("", line)
        if plain.strip():
            yield (str(ord(mark[0]) - _LEVEL) if mark else "text"), [[plain]]
