"""Tables, slides, attachments and code in chunks: cut where they may be cut, and never mixed."""

import re
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.knowledge_base.ingestion.chunk import Chunk, ChunkPolicy, chunks
from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted, Heading, Part, Table

POLICY = ChunkPolicy(max_tokens=40, overlap_tokens=10)
HEAD = "| Port | Berths |\n| --- | --- |\n"
WORD = re.compile(r"\S+")


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def cut(document: Extracted, policy: ChunkPolicy = POLICY) -> list[Chunk]:
    return list(chunks(document, policy, count_words))


def rows(count: int) -> str:
    return "".join(f"| Harbour{number} | {number} |\n" for number in range(count))


def with_table(before: str, head: str, body: str, after: str = "", **fields: object) -> Extracted:
    start = len(before)
    header_end = start + len(head)
    end = header_end + len(body)
    table = Table(start, header_end, end)
    return Extracted(DocumentFormat.DOCX, before + head + body + after, tables=(table,), **fields)  # pyright: ignore[reportArgumentType] - names are those of the tests below


def sentences(count: int, about: str = "rain") -> str:
    return " ".join(f"Sentence {number} is about {about}." for number in range(count))


PIECES = [
    "word ",
    "End. ",
    "\n",
    "\n\n",
    "- item\n",
    "```\n",
    "日本語。",
    "x" * 300,
    "| a | b |\n",
    "| --- | --- |\n",
    "# ",
    "é ",
]


@st.composite
def any_document(draw: st.DrawFn) -> Extracted:
    text = "".join(draw(st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=120)))
    offsets = st.integers(0, len(text))

    def some(most: int) -> list[int]:
        return sorted(draw(st.lists(offsets, max_size=most)))

    tables = [sorted(draw(st.tuples(offsets, offsets, offsets))) for _ in range(draw(st.integers(0, 4)))]
    return Extracted(
        format=draw(st.sampled_from(DocumentFormat)),
        text=text,
        pages=tuple(some(5)),
        headings=tuple(Heading(draw(st.integers(1, 6)), draw(st.text(max_size=30)), start) for start in some(8)),
        tables=tuple(Table(*three) for three in sorted(tables)),
        parts=tuple(Part(f"part {number}", start) for number, start in enumerate(some(3))),
    )


@settings(max_examples=400, deadline=None)
@given(any_document(), st.integers(8, 60), st.integers(0, 30))
def test_of_any_document_chunks_are_exact_within_size_in_order_and_lose_nothing(
    document: Extracted, size: int, overlap: int
) -> None:
    policy = ChunkPolicy(size, min(overlap, size // 2))
    made = cut(document, policy)

    assert made == cut(document, policy)
    covered = 0
    for number, chunk in enumerate(made):
        assert chunk.ordinal == number
        assert chunk.text == document.text[chunk.start : chunk.end] == chunk.text.strip() != ""
        assert 0 < chunk.tokens <= size
        assert chunk.tokens + min(*count_words([" > ".join(chunk.headings)]), size // 4) <= size
        assert not document.text[covered : chunk.start].strip()
        assert chunk.end > covered
        covered = chunk.end
        assert chunk.part == next((part.name for part in reversed(document.parts) if part.start <= chunk.start), None)
        assert not [part for part in document.parts if chunk.start < part.start < chunk.end]
    assert not document.text[covered:].strip()


def test_a_table_is_cut_between_rows_and_its_head_is_repeated() -> None:
    document = with_table("", HEAD, rows(30))
    made = cut(document)

    assert len(made) > 3
    assert made[0].text.startswith(HEAD)
    assert made[0].table_header is None
    assert {chunk.table_header for chunk in made[1:]} == {"| Port | Berths |"}
    assert [line for chunk in made for line in chunk.text.split("\n")] == document.text.strip().split("\n")
    assert [chunk.tokens for chunk in made[1:]] == [
        sum(count_words([f"{chunk.table_header}\n{chunk.text}"])) for chunk in made[1:]
    ]
    assert max(chunk.tokens for chunk in made) <= POLICY.max_tokens


def test_a_table_without_a_head_repeats_none() -> None:
    made = cut(with_table("", "", rows(30)))

    assert len(made) > 3
    assert {chunk.table_header for chunk in made} == {None}


def test_a_head_that_would_fill_the_chunk_is_not_repeated() -> None:
    wide = "| " + " | ".join(f"Column {number}" for number in range(12)) + " |\n"
    made = cut(with_table("", wide, rows(30)))

    assert {chunk.table_header for chunk in made} == {None}
    assert max(chunk.tokens for chunk in made) <= POLICY.max_tokens


def test_a_row_too_long_is_cut_between_its_cells() -> None:
    cells = [sentences(4, about) for about in ("rain", "snow", "hail")]
    made = cut(with_table("", "", f"| {' | '.join(cells)} |\n"), ChunkPolicy(30, 10))

    assert [chunk.text.strip("| ") for chunk in made] == cells


def test_a_table_is_not_mixed_with_the_text_around_it() -> None:
    made = cut(with_table(sentences(8) + "\n\n", HEAD, rows(20), "\n" + sentences(8, "snow")))

    assert not [chunk for chunk in made if "|" in chunk.text and "Sentence" in chunk.text]
    assert not [chunk for chunk in made if chunk.table_header and "|" not in chunk.text]


def test_a_tiny_table_stays_whole_in_the_text_around_it() -> None:
    document = with_table("Berths are few.\n\n", "", "| Dover | 4 |\n| Deal |\n", "\nThat is all.")
    [made] = cut(document)

    assert made.text == document.text


def test_a_caption_goes_with_its_table_and_a_sheet_is_named_in_each_of_its_chunks() -> None:
    captioned = cut(with_table("Table 1: Berths\n\n", HEAD, rows(20)))
    assert captioned[0].text.startswith(f"Table 1: Berths\n\n{HEAD}| Harbour0")

    sheet = cut(with_table("# Ports\n\n", HEAD, rows(20), headings=(Heading(1, "Ports", 0),)))
    assert sheet[0].text.startswith(f"# Ports\n\n{HEAD}| Harbour0")
    assert {chunk.headings for chunk in sheet} == {("Ports",)}


def test_slides_are_whole_and_not_mixed() -> None:
    slides = [f"Slide {number}\n\n{sentences(3)}\n\n| a | {number} |\n" for number in range(4)]
    text = "\n".join(slides)
    starts = [text.index(slide) for slide in slides]
    headings = tuple(Heading(1, f"Slide {number}", start) for number, start in enumerate(starts))
    tables = tuple(Table(at, at, at + 9) for at in (found.start() for found in re.finditer(r"\|.*\|\n", text)))
    made = cut(Extracted(DocumentFormat.PPTX, text, tuple(starts), headings, tables=tables))

    assert [chunk.text for chunk in made] == [slide.strip() for slide in slides]
    assert [(chunk.page, chunk.headings) for chunk in made] == [(n + 1, (f"Slide {n}",)) for n in range(4)]


def test_slides_without_titles_are_not_mixed_either() -> None:
    text = "One thing.\n\nAnother thing."
    made = cut(Extracted(DocumentFormat.ODP, text, (0, text.index("Another"))))

    assert [(chunk.text, chunk.page) for chunk in made] == [("One thing.", 1), ("Another thing.", 2)]


def test_attachments_are_apart_and_have_headings_of_their_own() -> None:
    terms = f"# Terms\n\n{sentences(3)}"
    pieces = ["# Mail\n\nSee attached.", sentences(4), terms]
    text = "\n\n".join(pieces)
    headings = (Heading(1, "Mail", 0), Heading(2, "Terms", text.index("# Terms")))
    offer = Part("offer.pdf", text.index("Sentence"))
    made = cut(Extracted(DocumentFormat.EML, text, headings=headings, parts=(offer,)))

    assert [(chunk.part, chunk.headings, chunk.text) for chunk in made] == [
        (None, ("Mail",), pieces[0]),
        ("offer.pdf", (), pieces[1]),
        ("offer.pdf", ("Terms",), pieces[2]),
    ]


def test_code_is_cut_between_lines_only() -> None:
    code = "```\n" + "".join(f"if (x > {n}) {{ y = f(x); z = g(y, {n}); }}\n\n" for n in range(20)) + "```"
    made = cut(Extracted(DocumentFormat.HTML, f"{sentences(2)}\n\n{code}\n\n{sentences(2)}"))

    for before, after in pairwise(chunk for chunk in made if "y = f" in chunk.text):
        assert before.text.endswith("}")
        assert after.text.startswith("if")
