"""Markdown stays as it is written; its headings are found, except inside code and front matter."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    Heading,
    Source,
    Table,
)
from services.knowledge_base.ingestion.extract.text import extract_text

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.+)$")
_ATX_CLOSED = re.compile(r"[ \t]#+$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_NO_PARAGRAPH = re.compile(r"\s*(?:[-*+>|#]|\d+[.)]\s|$)| {4}|\t")
_DASHES = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_BAR = re.compile(r"(?<!\\)\|")
_EMPHASIS = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")
_TITLE_LENGTH = 300
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def extract_markdown(source: Source, limits: ContentLimits) -> Extracted:
    extracted = extract_text(source, limits)
    return replace(
        extracted,
        format=DocumentFormat.MARKDOWN,
        headings=tuple(islice(_headings(extracted.text), limits.headings)),
        tables=tuple(islice(_tables(extracted.text), limits.tables)),
    )


def _headings(text: str) -> Iterator[Heading]:
    previous = ""
    previous_start = 0
    for start, line in _lines_outside_code(text):
        atx = _ATX.match(line)
        underline = _UNDERLINE.match(line)
        if atx:
            yield Heading(len(atx[1]), _plain(_ATX_CLOSED.sub("", atx[2])), start)
        elif underline and previous and not _NO_PARAGRAPH.match(previous):
            yield Heading(1 if underline[1][0] == "=" else 2, _plain(previous), previous_start)
        previous, previous_start = line, start


def _tables(text: str) -> Iterator[Table]:
    """A head, a line of dashes with as many columns, and rows up to the next line without a bar."""
    lines = list(_lines_outside_code(text))
    number = 1
    while number < len(lines):
        (start, head), (below, dashes) = lines[number - 1], lines[number]
        if not _is_head(head, dashes) or text[start + len(head) + 1 : below]:
            number += 1
            continue
        header_end = end = below + len(dashes)
        number += 1
        while number < len(lines) and "|" in lines[number][1] and lines[number][0] == end + 1:
            end = lines[number][0] + len(lines[number][1])
            number += 1
        yield Table(start, min(header_end + 1, end), end)


def _is_head(head: str, dashes: str) -> bool:
    return "|" in head and _DASHES.match(dashes) is not None and _columns(head) == _columns(dashes)


def _columns(line: str) -> int:
    return len(_BAR.findall(line.strip().removeprefix("|").removesuffix("|")))


def _lines_outside_code(text: str) -> Iterator[tuple[int, str]]:
    fence = ""
    start = _after_front_matter(text)
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        mark = _FENCE.match(line)
        if fence:
            closes = mark and mark[1].startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if closes else fence
        elif mark:
            fence = mark[1]
        else:
            yield start, line
        start = end + 1


def _after_front_matter(text: str) -> int:
    if not text.startswith("---\n"):
        return 0
    end = text.find("\n---\n", 3)
    return end + 5 if end >= 0 else 0


def _plain(title: str) -> str:
    return _EMPHASIS.sub("", _LINK.sub(r"\1", title[:_TITLE_LENGTH])).strip()
