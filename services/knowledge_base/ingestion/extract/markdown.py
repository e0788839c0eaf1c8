"""Markdown stays as it is written; its headings are found, except inside code and front matter."""

import re
from collections.abc import Iterator
from dataclasses import replace

from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    Heading,
    Source,
)
from services.knowledge_base.ingestion.extract.text import extract_text

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.+)$")
_ATX_CLOSED = re.compile(r"[ \t]#+$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_NO_PARAGRAPH = re.compile(r"\s*(?:[-*+>|#]|\d+[.)]\s|$)| {4}|\t")
_EMPHASIS = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")
_TITLE_LENGTH = 300
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def extract_markdown(source: Source, limits: ContentLimits) -> Extracted:
    extracted = extract_text(source, limits)
    headings = [heading for heading, _ in zip(_headings(extracted.text), range(limits.headings), strict=False)]
    return replace(extracted, format=DocumentFormat.MARKDOWN, headings=tuple(headings))


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
