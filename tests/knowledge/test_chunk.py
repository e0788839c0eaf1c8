"""Chunks: exact pieces of the text, within their size, along its structure, the same every time."""

import re
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.knowledge_base.ingestion.chunk import Chunk, ChunkPolicy, chunks
from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted, Heading

POLICY = ChunkPolicy(max_tokens=40, overlap_tokens=10)


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def cut(document: Extracted, policy: ChunkPolicy = POLICY) -> list[Chunk]:
    return list(chunks(document, policy, count_words))


def plain(text: str) -> Extracted:
    return Extracted(DocumentFormat.TEXT, text)


def sentences(count: int, about: str = "rain") -> str:
    return " ".join(f"Sentence {number} is about {about}." for number in range(count))


ODDITIES = ["word ", "End. ", "\n", "\n\n", "- item\n", "日本語。", "x" * 300, "a|b|c\n", "#", "  ", "\u00e9 "]
documents = st.builds(
    lambda parts: plain(clean("".join(parts))),
    st.lists(st.sampled_from(ODDITIES) | st.text(max_size=20), max_size=200),
)


@settings(max_examples=200, deadline=None)
@given(documents, st.integers(8, 60), st.integers(0, 20))
def test_chunks_are_exact_pieces_within_their_size_and_lose_no_word(
    document: Extracted, size: int, overlap: int
) -> None:
    made = cut(document, ChunkPolicy(size, min(overlap, size // 2)))

    assert made == cut(document, ChunkPolicy(size, min(overlap, size // 2)))
    covered = 0
    for number, chunk in enumerate(made):
        assert chunk.ordinal == number
        assert chunk.text == document.text[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip()
        assert chunk.text
        assert chunk.tokens <= size
        assert not document.text[covered : chunk.start].strip()
        assert chunk.end > covered
        covered = chunk.end
    assert not document.text[covered:].strip()


def test_chunks_of_a_section_overlap_by_whole_sentences() -> None:
    made = cut(plain(sentences(30)))

    assert len(made) > 4
    for before, after in pairwise(made):
        shared = before.text[after.start - before.start :]
        assert re.fullmatch(r"Sentence \d+ is about rain\.", shared)


def test_sections_are_not_mixed_and_carry_their_headings() -> None:
    text = f"# Book\n\n## Rain\n\n{sentences(12)}\n\n## Snow\n\n{sentences(12, 'snow')}"
    headings = [(1, "Book"), (2, "Rain"), (2, "Snow")]
    found = tuple(Heading(level, title, text.index("#" * level + " " + title)) for level, title in headings)
    made = cut(Extracted(DocumentFormat.MARKDOWN, text, headings=found))

    assert not [chunk for chunk in made if "rain" in chunk.text and "snow" in chunk.text]
    assert {chunk.headings for chunk in made if "snow" in chunk.text} == {("Book", "Snow")}


def test_what_leads_in_goes_with_what_follows_and_small_sections_stay_apart() -> None:
    lines = ["# Book", "In short.", "## Rain", "### Light", "Drizzle.", "### Heavy", "Downpour."]
    text = "\n\n".join(lines)
    found = tuple(
        Heading(len(line.split()[0]), line.split()[1], text.index(line)) for line in lines if line.startswith("#")
    )
    made = cut(Extracted(DocumentFormat.MARKDOWN, text, headings=found))

    assert [(chunk.headings, chunk.text.split("\n\n")) for chunk in made] == [
        (("Book",), ["# Book", "In short.", "## Rain", "### Light", "Drizzle."]),
        (("Book", "Rain", "Heavy"), ["### Heavy", "Downpour."]),
    ]


def test_a_heading_without_text_is_no_chunk() -> None:
    text = f"# Book\n\n## Rain\n\n{sentences(3)}"
    found = (Heading(1, "Book", 0), Heading(2, "Rain", text.index("## Rain")))
    [made] = cut(Extracted(DocumentFormat.MARKDOWN, text, headings=found))

    assert (made.text, made.headings) == (text, ("Book", "Rain"))


def test_a_paragraph_that_fits_is_kept_whole() -> None:
    paragraphs = [sentences(4, about) for about in ("rain", "snow", "hail", "dew")]
    made = cut(plain("\n\n".join(paragraphs)), ChunkPolicy(40, 0))

    assert [chunk.text for chunk in made] == paragraphs


def test_code_is_not_cut_at_blank_lines() -> None:
    code = "```\n" + "a = 1\n\n\nb = 2\n" * 2 + "```"
    made = cut(Extracted(DocumentFormat.MARKDOWN, f"{sentences(5)}\n\n{code}\n\n{sentences(5)}"))

    assert [chunk for chunk in made if code in chunk.text]


def test_pages_are_told_by_where_a_chunk_begins() -> None:
    first, second = sentences(10), sentences(10, "snow")
    document = Extracted(DocumentFormat.PDF, f"{first}\n\n{second}", pages=(0, len(first) + 2))

    assert {chunk.page for chunk in cut(document) if "snow" not in chunk.text} == {1}
    assert cut(document)[-1].page == 2


def test_a_word_without_end_is_cut() -> None:
    made = cut(plain("x" * 5000))

    assert "".join(chunk.text for chunk in made) == "x" * 5000
    assert max(len(chunk.text) for chunk in made) <= 400


def test_nothing_gives_no_chunk() -> None:
    assert cut(plain(" \n\n ")) == []
