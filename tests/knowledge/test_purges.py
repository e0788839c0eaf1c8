"""What is deleted leaves no vector behind, whatever Chroma or an ingestion does meanwhile."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from uuid import UUID

import pytest

from services.knowledge_base.purges import sweep
from shared.knowledge.index import VectorIndex
from tests.knowledge.support import Library, Valve, behind, working

BASES = "/api/v1/knowledge-bases"
DOCUMENTS = "/api/v1/documents"
PILOTS = "The harbour pilot is called Marlow."
TIDES = "High water at Dover is at noon on Fridays."


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.knowledge_base.purges._PAUSES", (0.05, 0.05))
    monkeypatch.setattr("services.knowledge_base.ingestion.stages.work._PAUSES", (0.05, 0.05))
    monkeypatch.setattr("shared.knowledge.index._FIRST_PAUSE", 0.01)


@pytest.fixture
async def behind_valve(library: Library, chroma: Valve, embeddings: None) -> AsyncGenerator[None]:
    """A worker that reaches Chroma through the valve."""
    async with behind(chroma) as index, working(replace(library.platform.resources, vectors=index)):
        yield


@pytest.mark.usefixtures("worker")
async def test_deleting_a_document_removes_its_vectors_and_no_others(library: Library, index: VectorIndex) -> None:
    base = await library.base()
    gone, kept = await library.ready(base, PILOTS), await library.ready(base, TIDES)

    assert (await library.http.delete(f"{DOCUMENTS}/{gone}")).status_code == 204
    assert (await library.http.get(f"{DOCUMENTS}/{gone}")).status_code == 404
    assert [passage["document_id"] for passage in await library.ask("pilot", base)] == [kept]
    await library.settled()
    assert await index.chunk_ids(UUID(base)) == set(await library.chunk_ids(kept))
    assert await library.chunk_ids(gone) == []


@pytest.mark.usefixtures("worker")
async def test_deleting_a_base_removes_everything(library: Library, index: VectorIndex) -> None:
    base, other = await library.base("Gone"), await library.base("Kept")
    document, kept = await library.ready(base, PILOTS), await library.ready(other, PILOTS)

    assert (await library.http.delete(f"{BASES}/{base}")).status_code == 204
    assert (await library.http.get(f"{DOCUMENTS}/{document}")).status_code == 404
    await library.settled()
    assert await index.chunk_ids(UUID(base)) == set()
    assert await index.chunk_ids(UUID(other)) == set(await library.chunk_ids(kept))
    [[left]] = await library.sql("SELECT count(*) FROM chunks WHERE knowledge_base_id = :base", base=base)
    assert left == 0


@pytest.mark.usefixtures("worker")
async def test_what_is_deleted_before_it_was_processed_leaves_nothing(library: Library, index: VectorIndex) -> None:
    base = await library.base()
    documents = [await library.add(base, f"{PILOTS} {number}", f"n{number}") for number in range(5)]
    for document in documents:
        assert (await library.http.delete(f"{DOCUMENTS}/{document}")).status_code == 204
    await library.settled()

    assert await index.chunk_ids(UUID(base)) == set()
    ends = await library.sql("SELECT DISTINCT status FROM executions")
    assert [status for (status,) in ends] == ["succeeded"]


@pytest.mark.usefixtures("impatient", "behind_valve")
async def test_an_outage_leaves_no_vector_for_ever(library: Library, chroma: Valve, index: VectorIndex) -> None:
    base = await library.base()
    document = await library.ready(base, PILOTS)
    chroma.shut = True
    assert (await library.http.delete(f"{DOCUMENTS}/{document}")).status_code == 204
    async with asyncio.timeout(20):
        while not (failed := await library.sql("SELECT error FROM executions WHERE status = 'failed'")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert failed[0].error["code"] == "vector_store_unavailable"
    assert len(await index.chunk_ids(UUID(base))) == 1
    assert "get" in chroma.requests

    chroma.shut = False
    assert await sweep(library.platform.resources, age=3600) == 0
    assert await sweep(library.platform.resources, age=0) == 1
    await library.settled()
    assert await index.chunk_ids(UUID(base)) == set()
    assert await sweep(library.platform.resources, age=0) == 0


@pytest.mark.usefixtures("behind_valve")
async def test_a_document_deleted_while_it_is_indexed_leaves_nothing(
    library: Library, chroma: Valve, index: VectorIndex
) -> None:
    base = await library.base()
    chroma.held = "upsert"
    document = await library.add(base, PILOTS)
    await asyncio.wait_for(chroma.holding.wait(), 20)
    assert len(await index.chunk_ids(UUID(base))) == 1

    assert (await library.http.delete(f"{DOCUMENTS}/{document}")).status_code == 204
    await asyncio.sleep(0.3)
    chroma.held = None
    await library.settled()
    assert await index.chunk_ids(UUID(base)) == set()


@pytest.mark.usefixtures("behind_valve")
async def test_a_base_deleted_while_it_is_indexed_leaves_nothing(
    library: Library, chroma: Valve, index: VectorIndex
) -> None:
    base = await library.base()
    chroma.held = "upsert"
    await library.add(base, PILOTS)
    await asyncio.wait_for(chroma.holding.wait(), 20)

    assert (await library.http.delete(f"{BASES}/{base}")).status_code == 204
    await asyncio.sleep(0.3)
    chroma.held = None
    await library.settled()
    assert await index.chunk_ids(UUID(base)) == set()


@pytest.mark.usefixtures("impatient", "behind_valve")
async def test_a_document_fails_with_the_store_and_needs_no_new_embedding_afterwards(
    library: Library, chroma: Valve
) -> None:
    base = await library.base()
    chroma.shut = True
    document = await library.add(base, PILOTS)
    failed = await library.processed(document)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "vector_store_unavailable")
    assert "upsert" in chroma.requests or "collections" in chroma.requests

    chroma.shut = False
    await library.http.post(f"{DOCUMENTS}/{document}/reprocess")
    ready = await library.processed(document)
    assert (ready["status"], ready["error"]) == ("ready", None)
    [step] = await library.sql(
        "SELECT output FROM task_executions WHERE execution_id = :id AND node = 'embed'", id=ready["execution_id"]
    )
    assert (step.output["embedded"], step.output["copied"]) == (0, 1)
    assert len(await library.ask("pilot", base)) == 1


@pytest.mark.usefixtures("worker")
async def test_a_lost_collection_is_made_again_from_postgres(library: Library, index: VectorIndex) -> None:
    base = await library.base()
    document = await library.ready(base, PILOTS)
    await index.drop(UUID(base))
    assert await library.ask("pilot", base, mode="vector") == []

    await library.http.post(f"{DOCUMENTS}/{document}/reprocess")
    await library.processed(document)
    assert len(await library.ask("pilot", base, mode="vector")) == 1
