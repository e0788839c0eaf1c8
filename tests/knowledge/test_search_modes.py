"""By meaning, by words, by both: what each finds, what filters leave, and how passages look."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from services.knowledge_base.module import SERVICE
from shared.database.tables.knowledge import Document
from shared.kit.ids import new_id
from shared.knowledge import nearest
from shared.web.app import create_app
from tests.knowledge.support import Library, Valve, behind

PILOTS = "The harbour pilot is called Marlow. He comes on board by a ladder."
TIDES = "High water at Dover is at noon on Fridays. See circular X-1207."
BREAD = "Knead the dough for ten minutes and let it rise in a warm place."
MODES = ("vector", "keyword", "hybrid")

pytestmark = pytest.mark.usefixtures("worker")


async def describe(library: Library, document: str, **values: Any) -> None:
    async with library.platform.resources.database.write(library.scope) as session:
        await session.execute(update(Document).where(Document.id == UUID(document)).values(**values))


async def test_words_find_what_meaning_does_not_and_the_other_way_round(library: Library) -> None:
    base = await library.base()
    for text in (PILOTS, TIDES, BREAD):
        await library.ready(base, text)

    [passage] = await library.ask("x-1207", base, mode="keyword")
    assert passage["text"] == TIDES
    assert [TIDES[span["start"] : span["end"]] for span in passage["highlights"]] == ["X-1207"]
    assert await library.ask("how do I bake a loaf", base, mode="keyword") == []
    for mode in ("vector", "hybrid"):
        assert (await library.ask("how do I bake a loaf", base, mode=mode))[0]["text"] == BREAD
    assert (await library.ask("circular x-1207", base))[0]["text"] == TIDES


async def test_scores_mean_the_same_in_every_mode(library: Library) -> None:
    base = await library.base()
    for text in (PILOTS, TIDES, BREAD):
        await library.ready(base, text)
    query = "Who is the harbour pilot?"

    found = {mode: (await library.ask(query, base, mode=mode))[0] for mode in MODES}
    assert {passage["text"] for passage in found.values()} == {PILOTS}
    vector, words, both = (found[mode]["score"] for mode in MODES)
    assert both == pytest.approx((vector + words) / 2, abs=1e-5)
    assert 0.3 < words < 1
    assert [one["text"] for one in await library.ask(query, base, min_score=both - 0.01)] == [PILOTS]
    assert await library.ask(query, base, min_score=both + 0.01) == []


async def test_quoted_words_must_be_there_as_they_are(library: Library) -> None:
    base = await library.base()
    for text in ("A pilot of the harbour.", "The harbour pilots.", PILOTS):
        await library.ready(base, text)

    for mode in ("keyword", "hybrid"):
        assert len(await library.ask("harbour pilot", base, mode=mode)) == 3
        assert [one["text"] for one in await library.ask('the "Harbour Pilot" here', base, mode=mode)] == [PILOTS]
        assert await library.ask('"pilot harbour"', base, mode=mode) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("few", [3000, 0])
async def test_filters_leave_all_that_fits_and_nothing_else(
    library: Library, mode: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "_FEW", few)  # 0: Chroma is asked first
    base = await library.base()
    documents = [await library.ready(base, f"{PILOTS} He is number {n}.", f"pilot {n}") for n in range(8)]
    agent, stranger = new_id(), new_id()
    await describe(library, documents[0], tags=["sea", "old"], dated_at=datetime(2001, 2, 3, tzinfo=UTC))
    await describe(library, documents[1], tags=["sea"], agent_ids=[agent])
    await describe(library, documents[2], dated_at=datetime(2001, 2, 4, tzinfo=UTC))
    every = set(documents)

    async def left(**filters: Any) -> set[str]:
        found = await library.ask("harbour pilot", base, mode=mode, top_k=20, filters=filters)
        return {one["document_id"] for one in found}

    assert await left() == every
    assert await left(tags=["sea", "sky"]) == {documents[0], documents[1]}
    assert await left(tags=["sky"]) == set()
    assert await left(document_ids=documents[3:5]) == {documents[3], documents[4]}
    assert await left(dated_to="2001-02-03T00:00:00Z") == {documents[0]}
    assert await left(dated_from="2001-02-03T00:00:00Z", dated_to="2001-12-31T00:00:00+01:00") == {
        documents[0],
        documents[2],
    }
    assert await left(dated_from="2002-01-01T00:00:00Z") == every - {documents[0], documents[2]}
    assert await left(agent_id=str(agent)) == every
    assert await left(agent_id=str(stranger)) == every - {documents[1]}
    assert await left(tags=["sea"], agent_id=str(stranger)) == {documents[0]}


async def test_vectors_in_postgres_and_in_chroma_agree(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    base = await library.base()
    for text in (PILOTS, TIDES, BREAD):
        await library.ready(base, text)
    asked = [await library.ask("ships", base, mode="vector")]
    monkeypatch.setattr(nearest, "_WIDEST", 0)
    asked.append(await library.ask("ships", base, mode="vector"))
    assert [one["chunk_id"] for one in asked[0]] == [one["chunk_id"] for one in asked[1]]
    assert [one["score"] for one in asked[0]] == pytest.approx([one["score"] for one in asked[1]], abs=1e-5)


async def test_neighbours_are_one_passage_exactly_as_in_the_document(library: Library) -> None:
    base = await library.base(chunk_size=64, chunk_overlap=16)
    filler = " ".join(f"On day {n} nothing at all happened in the kitchen of the inn." for n in range(12))
    about = " ".join(f"The harbour pilot of ship {n} climbs the ladder." for n in range(12))
    document = await library.ready(base, f"{filler}\n\n{about}\n\n{filler}")
    [[text]] = await library.sql("SELECT text FROM document_texts WHERE document_id = :id", id=document)
    for mode in MODES:
        found = await library.ask("harbour pilot on the ladder", base, mode=mode, top_k=3)
        assert len(found[0]["chunk_ids"]) > 1, mode
        assert all(len(one["chunk_ids"]) <= 4 for one in found)
        for one in found:
            assert one["text"] == text[one["start"] : one["end"]]
            assert one["chunk_id"] in one["chunk_ids"]


async def test_the_same_text_is_shown_once_and_says_where_else_it_stands(library: Library) -> None:
    base = await library.base()
    first = await library.ready(base, PILOTS, "one")
    second = await library.ready(base, PILOTS.upper(), "two")
    await library.ready(base, BREAD)
    for mode in MODES:
        best, *rest = await library.ask("harbour pilot", base, mode=mode)
        assert {best["document_id"], *(one["document_id"] for one in best["also_in"])} == {first, second}
        assert all("pilot" not in one["text"].lower() for one in rest)


async def test_without_chroma_words_still_find(library: Library, chroma: Valve) -> None:
    base = await library.base()
    await library.ready(base, PILOTS)
    chroma.shut = True
    async with behind(chroma) as index:
        app = create_app(SERVICE, replace(library.platform.resources, vectors=index))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://quarterdeck.test", headers=library.account.headers
        ) as http:
            away = Library(library.platform, library.account, http)
            for mode, warned in (("hybrid", 1), ("keyword", 0)):
                answer = await away.answer("pilot", base, mode=mode)
                assert [one["text"] for one in answer["passages"]] == [PILOTS]
                assert (answer["mode"], len(answer["warnings"])) == ("keyword", warned)


async def test_bases_of_two_languages_are_searched_together(library: Library) -> None:
    english, german = await library.base("E", language="english"), await library.base("G", language="german")
    await library.ready(english, "Two pilots live in old houses by the harbour.")
    await library.ready(german, "Zwei Lotsen wohnen in alten Häusern am Hafen.")
    found = await library.ask("Haus Lotse house pilot", english, german, mode="keyword")
    assert {one["knowledge_base_id"] for one in found} == {english, german}


@pytest.mark.parametrize("mode", MODES)
async def test_a_revision_that_is_being_made_is_not_found(library: Library, mode: str) -> None:
    base = await library.base()
    document = await library.ready(base, PILOTS)
    await describe(library, document, status="failed", last_revision=9)
    assert [one["text"] for one in await library.ask("pilot", base, mode=mode)] == [PILOTS]
    await describe(library, document, revision=9)
    assert await library.ask("pilot", base, mode=mode) == []
