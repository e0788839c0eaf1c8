"""What is asked is found: the right passage first, from the tenant's own documents, with its source."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete

from services.knowledge_base.module import SERVICE
from services.orchestration.adapters.knowledge import KnowledgeBases
from services.orchestration.engine.ports import CallFailed, KnowledgeRequest
from shared.database.tables.knowledge import Document
from shared.knowledge.index import VectorIndex, VectorRecord
from shared.knowledge.search import KnowledgeSearch
from shared.web.app import create_app
from tests.knowledge import files
from tests.knowledge.support import Library, Valve, behind

QUERY = "/api/v1/knowledge-bases/query"
PILOTS = "The harbour pilot is called Marlow. He comes on board by a ladder."
TIDES = "High water at Dover is at noon on Fridays."
BREAD = "Knead the dough for ten minutes and let it rise in a warm place."

pytestmark = pytest.mark.usefixtures("worker")


async def test_the_passage_that_answers_comes_first_with_its_source(library: Library) -> None:
    base = await library.base()
    pages = files.pdf(BREAD, PILOTS, outline=[("Knead the dough", 1), ("The harbour pilot", 2)])
    [uploaded] = (await library.upload(base, ("harbour.pdf", pages))).json()["items"]
    await library.processed(uploaded["document"]["id"])
    await library.ready(base, TIDES)

    best, *_ = await library.ask("who guides ships into the port?", base)
    assert "Marlow" in best["text"]
    assert best["chunk_ids"] == [best["chunk_id"]]
    assert best | {"chunk_id": "", "chunk_ids": [], "score": 0, "start": 0, "end": 0} == {
        "knowledge_base_id": base,
        "document_id": uploaded["document"]["id"],
        "document_name": "harbour.pdf",
        "chunk_id": "",
        "chunk_ids": [],
        "text": best["text"],
        "score": 0,
        "page": 2,
        "page_end": 2,
        "start": 0,
        "end": 0,
        "headings": ["The harbour pilot"],
        "part": None,
        "table_header": None,
        "highlights": [],
        "also_in": [],
        "original_url": f"/api/v1/documents/{uploaded['document']['id']}/original#page=2",
    }
    [[text]] = await library.sql(
        "SELECT text FROM document_texts WHERE document_id = :id", id=uploaded["document"]["id"]
    )
    assert text[best["start"] : best["end"]] == best["text"]


async def test_scores_fall_and_lie_between_0_and_1(library: Library) -> None:
    base = await library.base()
    for text in (PILOTS, TIDES, BREAD):
        await library.ready(base, text)

    scores = [passage["score"] for passage in await library.ask("how long do I knead dough?", base, mode="vector")]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert 1 >= scores[0] > 0.5 > scores[-1] >= 0


async def test_several_bases_are_merged_by_score(library: Library) -> None:
    sea, kitchen = await library.base("Sea"), await library.base("Kitchen")
    await library.ready(sea, PILOTS)
    await library.ready(sea, TIDES)
    await library.ready(kitchen, BREAD)

    found = await library.ask("dough", sea, kitchen, kitchen, top_k=2)
    assert [passage["knowledge_base_id"] for passage in found] == [kitchen, sea]
    assert await library.ask("dough", await library.base("Empty")) == []


async def test_what_is_deleted_is_not_found_even_while_its_vector_is_there(
    library: Library, index: VectorIndex
) -> None:
    base = await library.base()
    documents = [await library.ready(base, f"{PILOTS} He is pilot number {number}.") for number in range(14)]
    kept = await library.ready(base, BREAD)
    ids = {UUID(document) for document in documents}
    before = await index.chunk_ids(UUID(base))
    async with library.platform.resources.database.write(library.scope) as session:
        for document in ids:
            await session.execute(delete(Document).where(Document.id == document))

    assert [passage["document_id"] for passage in await library.ask("harbour pilot", base, top_k=2)] == [kept]
    assert await index.chunk_ids(UUID(base)) == before


async def test_tenants_find_nothing_of_one_another(library: Library, other: Library) -> None:
    mine, theirs = await library.base("Mine"), await other.base("Theirs")
    await library.ready(mine, PILOTS)
    await other.ready(theirs, TIDES)

    assert [passage["text"] for passage in await other.ask("Who is the harbour pilot?", theirs)] == [TIDES]
    answer = await other.http.post(QUERY, json={"knowledge_base_ids": [theirs, mine], "query": "pilot"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "knowledge_base_not_found")


async def test_a_foreign_vector_in_ones_own_collection_leads_nowhere(
    library: Library, other: Library, index: VectorIndex
) -> None:
    """Even if Chroma were tampered with: the text is read under the asker's own row-level security."""
    mine, theirs = await library.base("Mine"), await other.base("Theirs")
    document = await library.ready(mine, PILOTS)
    [row] = await library.sql(
        "SELECT c.id, e.vector FROM chunks c JOIN chunk_embeddings e ON e.chunk_id = c.id WHERE document_id = :id",
        id=document,
    )
    await index.upsert(UUID(theirs), [VectorRecord(row.id, UUID(document), row.vector)])

    assert await other.ask("Who is the harbour pilot?", theirs) == []
    second = await library.base("Second")
    await index.upsert(UUID(second), [VectorRecord(row.id, UUID(document), row.vector)])
    assert await library.ask("Who is the harbour pilot?", second) == []


@pytest.mark.parametrize(
    "change",
    [
        {"query": ""},
        {"query": "x" * 8001},
        {"query": "\x00"},
        {"top_k": 0},
        {"top_k": 101},
        {"mode": "best"},
        {"min_score": 1.1},
        {"filters": {"tag": "x"}},
        {"filters": {"dated_from": "2026-01-02T00:00:00Z", "dated_to": "2026-01-01T00:00:00Z"}},
        {"filters": {"dated_from": "2026-01-02T00:00:00"}},
        {"rerank_model_id": "nonsense"},
        {"knowledge_base_ids": []},
        {"knowledge_base_ids": ["nonsense"]},
        {"knowledge_base_ids": ["0190a3c4-0000-7000-8000-000000000000"] * 21},
        {"tenant_id": "0190a3c4-0000-7000-8000-000000000000"},
    ],
)
async def test_a_bad_query_is_refused(library: Library, change: dict[str, Any]) -> None:
    body = {"knowledge_base_ids": [await library.base()], "query": "x", **change}
    assert (await library.http.post(QUERY, json=body)).status_code == 422


async def test_a_vector_store_that_is_away_is_a_503(library: Library, chroma: Valve) -> None:
    base = await library.base()
    chroma.shut = True
    async with behind(chroma) as index:
        resources = replace(library.platform.resources, vectors=index)
        transport = httpx.ASGITransport(app=create_app(SERVICE, resources))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://quarterdeck.test", headers=library.account.headers
        ) as client:
            answer = await client.post(QUERY, json={"knowledge_base_ids": [base], "query": "x", "mode": "vector"})
        knowledge = KnowledgeBases(KnowledgeSearch(resources.database, index, resources.embedders))
        with pytest.raises(CallFailed) as caught:
            await knowledge.search(library.account.tenant_id, KnowledgeRequest((UUID(base),), "x", mode="vector"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "vector_store_unavailable")
    assert (caught.value.code, caught.value.retryable) == ("vector_store_unavailable", True)


async def test_steps_and_tools_search_as_their_tenant(library: Library, other: Library, index: VectorIndex) -> None:
    base = UUID(await library.base())
    await library.ready(str(base), PILOTS)
    resources = library.platform.resources
    knowledge = KnowledgeBases(KnowledgeSearch(resources.database, index, resources.embedders))

    found = await knowledge.search(library.account.tenant_id, KnowledgeRequest((base,), "pilot"))
    [passage] = found.passages
    assert (passage.text, passage.document_name, passage.knowledge_base_id) == (PILOTS, "note", base)
    for tenant, mode, code in (
        (other.account.tenant_id, "vector", "knowledge_base_not_found"),
        (library.account.tenant_id, "best", "knowledge_mode_unknown"),
    ):
        with pytest.raises(CallFailed) as caught:
            await knowledge.search(tenant, KnowledgeRequest((base,), "pilot", mode=mode))
        assert (caught.value.code, caught.value.retryable) == (code, False)
