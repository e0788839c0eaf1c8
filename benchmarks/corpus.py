"""Documents of five formats, the same in every run: what is ingested where speed is measured."""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import docx

from tests.knowledge.files import pdf_of

_VOCABULARY = (
    "the of and a to in is for on with as by that be at from or an are this it not which can will after before while "
    "harbour pilot sail storm lamp quay cargo ship tide noon anchor rope mast captain crew island light fog bell "
    "contract payment delivery invoice customer supplier warranty notice period approval budget department report "
    "measure temperature pressure valve pump bearing maintenance inspection replacement manufacturer specification "
    "network server database request response latency deployment configuration certificate authentication storage "
    "patient treatment diagnosis dosage symptom clinical laboratory examination infection recovery therapy physician "
    "agreement liability termination jurisdiction arbitration confidential obligation indemnity representation "
    "quickly carefully usually rarely often never always together however therefore moreover although because "
    "seventeen forty hundred thousand first second third last early late annual monthly weekly daily northern southern"
)
_WORDS: tuple[str, ...] = tuple(_VOCABULARY.split())
# Few words are most of a text, as in any language.
_WEIGHTS = [1 / (rank + 3) for rank in range(len(_WORDS))]

LARGE, SMALL = 30_000, 3_000


@dataclass(frozen=True)
class File:
    name: str
    content: bytes


@dataclass(frozen=True)
class _Section:
    title: str
    paragraphs: Sequence[str]


def corpus(large: int = 1, small: int = 4) -> list[File]:
    """So many of each format; their texts are about LARGE and SMALL characters long."""
    sizes = [(f"large-{n}", LARGE) for n in range(large)] + [(f"small-{n}", SMALL) for n in range(small)]
    return [
        File(f"{name}.{suffix}", write(list(_sections(random.Random(f"{name}.{suffix}"), size))))
        for name, size in sizes
        for suffix, write in _WRITERS.items()
    ]


def large_text(seed: int, characters: int) -> File:
    sections = list(_sections(random.Random(seed), characters))
    return File(f"{seed}.txt", _text(sections))


def _sections(chance: random.Random, characters: int) -> Iterator[_Section]:
    while characters > 0:
        paragraphs = [_paragraph(chance) for _ in range(chance.randint(2, 6))]
        yield _Section(" ".join(chance.choices(_WORDS, k=4)).capitalize(), paragraphs)
        characters -= sum(map(len, paragraphs))


def _paragraph(chance: random.Random) -> str:
    return " ".join(_sentence(chance) for _ in range(chance.randint(3, 7)))


def _sentence(chance: random.Random) -> str:
    words = chance.choices(_WORDS, _WEIGHTS, k=chance.randint(6, 20))
    words.insert(len(words) // 2, str(chance.randint(2, 9999)))
    return " ".join(words).capitalize() + "."


def _text(sections: Sequence[_Section]) -> bytes:
    return "\n\n\n".join("\n\n".join((one.title, *one.paragraphs)) for one in sections).encode()


def _markdown(sections: Sequence[_Section]) -> bytes:
    table = "| part | amount |\n|---|---|\n" + "\n".join(f"| {word} | {n} |" for n, word in enumerate(_WORDS[:20]))
    pieces = [f"## {one.title}\n\n" + "\n\n".join(one.paragraphs) for one in sections]
    return "\n\n".join(["# A handbook", *pieces, table]).encode()


def _html(sections: Sequence[_Section]) -> bytes:
    body = "".join(
        f"<section><h2>{one.title}</h2>{''.join(f'<p>{text}</p>' for text in one.paragraphs)}</section>"
        for one in sections
    )
    menu = "".join(f"<li><a href='#'>{one.title}</a></li>" for one in sections[:10])
    return f"<!doctype html><html><body><nav><ul>{menu}</ul></nav><main>{body}</main></body></html>".encode()


def _word(sections: Sequence[_Section]) -> bytes:
    document = docx.Document()
    for section in sections:
        document.add_heading(section.title, 1)
        for paragraph in section.paragraphs:
            document.add_paragraph(paragraph)
    saved = io.BytesIO()
    document.save(saved)
    return saved.getvalue()


_LINES_ON_A_PAGE, _CHARACTERS_IN_A_LINE = 46, 90


def _pdf(sections: Sequence[_Section]) -> bytes:
    lines: list[tuple[int, str]] = []
    for section in sections:
        lines += [(16, section.title)] + [(10, line) for text in section.paragraphs for line in _wrapped(text)]
    pages = [lines[n : n + _LINES_ON_A_PAGE] for n in range(0, len(lines), _LINES_ON_A_PAGE)]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for number, page in enumerate(pages):
        drawn = "".join(f"/F {size} Tf ({line}) Tj 0 -16 Td " for size, line in page)
        content = f"BT 50 770 Td {drawn} ET".encode()
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>"
            f"/Contents {5 + 2 * number} 0 R>>".encode(),
            b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        ]
    return pdf_of(objects)


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if len(line) + len(word) > _CHARACTERS_IN_A_LINE:
            yield line
            line = ""
        line += f" {word}" if line else word
    yield line


_WRITERS: dict[str, Callable[[Sequence[_Section]], bytes]] = {
    "txt": _text,
    "md": _markdown,
    "html": _html,
    "docx": _word,
    "pdf": _pdf,
}
