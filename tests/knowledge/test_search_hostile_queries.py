"""Questions made to do harm: whoever may ask must not hold up everybody else who asks."""

import asyncio
import time
from uuid import uuid4

import pytest

from shared.knowledge import passages, search
from shared.knowledge.keywords import finder
from shared.knowledge.passages import Row
from tests.knowledge.support import Library

PHRASES = '"of the"' * 1000


def row(base: object, text: str) -> Row:
    return Row(uuid4(), base, uuid4(), "n", 1, 0, text, None, [], 0, len(text), None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    ['"a b"' * 1600, '"b a"' * 1600, "".join(f'"w{n} w{n + 1}"' for n in range(190)) + '"w0"' * 1000],
    ids=["there", "not there", "all but one"],
)
def test_a_thousand_phrases_cost_little_more_than_one(query: str) -> None:
    base = uuid4()
    text = "a b " * 100 + " ".join(f"w{n}" for n in range(200))
    began = time.process_time()
    found = passages.with_phrases([row(base, text) for _ in range(160)], query, {base: "english"})
    assert time.process_time() - began < 2
    assert len(found) in (0, 160)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
async def test_a_question_that_fits_nothing_is_given_up(
    library: Library, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The words are everywhere, in this order nowhere."""
    base = await library.base()
    await asyncio.gather(*(library.ready(base, f"the of {n} the of") for n in range(12)))
    asked: list[int] = []
    candidates = search.KnowledgeSearch._candidates  # pyright: ignore[reportPrivateUsage]

    async def counted(self: object, plan: object, limit: int) -> object:
        asked.append(limit)
        return await candidates(self, plan, limit)  # type: ignore[arg-type]

    monkeypatch.setattr(search.KnowledgeSearch, "_candidates", counted)
    monkeypatch.setattr(search, "_LEAST", 1)
    monkeypatch.setattr(search, "_DEEPEST", 6)
    assert await library.ask(PHRASES, base, mode=mode, top_k=1) == []
    assert asked == [4, 6]


@pytest.mark.usefixtures("worker")
async def test_what_has_thousands_of_words_is_answered_by_the_first_of_them(library: Library) -> None:
    base = await library.base()
    document = await library.ready(base, "The harbour pilot is called Marlow.")
    signs = "".join(chr(0x4E00 + n) for n in range(7980))
    for query in (f"harbour pilot {signs}", f'"harbour pilot" {signs}'):
        [found] = await library.ask(query, base, mode="keyword")
        assert found["document_id"] == document
    asked = finder._ask("english", signs)  # pyright: ignore[reportPrivateUsage]
    assert len(asked.all) == 1000
