"""Another embedding model, another language, a rebuilt index: what is found stays found, and changes over at once."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.database.tables.models import Model
from shared.executions.cancel import cancel
from shared.kit.ids import new_id
from shared.kit.settings import Settings
from shared.knowledge.index import VectorIndex
from tests.fakes.model_server import FakeModelServer
from tests.knowledge.support import PATIENCE, Library
from tests.support.platform import Platform, open_platform

BASES = "/api/v1/knowledge-bases"
PILOTS = "The harbour pilot is called Marlow."
TIDES = "High water at Dover is at noon on Fridays."


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"allowed_hosts": "127.0.0.1:*"})


@pytest.fixture(scope="module")
async def platform(settings: Settings) -> AsyncGenerator[Platform]:
    async with open_platform(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def provider_process() -> Iterator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture
def provider(provider_process: FakeModelServer) -> FakeModelServer:
    provider_process.reset()
    return provider_process


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch, worker: None) -> None:
    monkeypatch.setattr("services.knowledge_base.indexes.building.SEARCHES_END", timedelta(seconds=0.1))


async def embedding_model(library: Library, provider: FakeModelServer, **values: Any) -> str:
    id_ = new_id()
    async with library.platform.resources.database.write(library.scope) as session:
        model = Model(
            id=id_,
            tenant_id=library.account.tenant_id,
            name=f"vectors {id_}",
            kind="embedding",
            provider="openai_compatible",
            model="vectors",
            settings={"base_url": provider.base_url},
            context_window=values.get("context_window", 512),
            supports_tools=False,
        )
        session.add(model)
    return str(id_)


async def change(library: Library, base: str, **fields: Any) -> dict[str, Any]:
    answer = await library.http.put(f"{BASES}/{base}", json={"name": "Handbook", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def get(library: Library, base: str) -> dict[str, Any]:
    return (await library.http.get(f"{BASES}/{base}")).json()


async def vectors_of(library: Library, base: str) -> dict[UUID, set[UUID]]:
    rows = await library.sql(
        "SELECT e.index_id, e.chunk_id FROM chunk_embeddings e JOIN chunks c ON c.id = e.chunk_id"
        " WHERE c.knowledge_base_id = :base",
        base=base,
    )
    found: dict[UUID, set[UUID]] = {}
    for index_id, chunk_id in rows:
        found.setdefault(index_id, set()).add(chunk_id)
    return found


async def assert_one_index(library: Library, index: VectorIndex, base: str) -> UUID:
    """It has every chunk in Postgres and Chroma, and nothing else is left."""
    chunks = {row.id for row in await library.sql("SELECT id FROM chunks WHERE knowledge_base_id = :b", b=base)}
    [(active, status)] = await library.sql(
        "SELECT id, status FROM knowledge_indexes WHERE knowledge_base_id = :b", b=base
    )
    assert status == "active"
    assert await vectors_of(library, base) == {active: chunks}
    assert await index.chunk_ids(active) == chunks
    if str(active) != base:
        assert await index.chunk_ids(UUID(base)) == set()
    return active


async def test_another_model_takes_over_when_all_is_embedded_by_it(
    library: Library, provider: FakeModelServer, index: VectorIndex
) -> None:
    base = await library.base()
    await library.ready(base, PILOTS)
    model = await embedding_model(library, provider)
    shown = await change(library, base, embedding_model_id=model)
    assert shown["embedding_model_id"] is None
    assert shown["building"]["embedding_model_id"] == model

    late = [await library.add(base, f"{TIDES} {n}", f"late {n}") for n in range(4)]
    for document in late:
        assert (await library.processed(document))["status"] == "ready"
    await library.settled()

    now = await get(library, base)
    assert (now["embedding_model_id"], now["building"]) == (model, None)
    assert (now["documents_searchable"], now["documents_by_status"]) == (5, {"ready": 5})
    assert await assert_one_index(library, index, base) != UUID(base)
    assert len(await library.ask("pilot", base, mode="vector", top_k=10)) == 5
    # A change of something else leaves the model as it is.
    assert (await change(library, base, description="New"))["embedding_model_id"] == model
    assert len(await library.sql("SELECT 1 FROM executions WHERE spec->>'action' = 'reindex'")) == 1


async def test_a_change_that_is_cancelled_leaves_all_as_it_was(
    library: Library, provider: FakeModelServer, index: VectorIndex
) -> None:
    base = await library.base()
    await library.ready(base, PILOTS)
    provider.fail("hang", path="embeddings")
    building = (await change(library, base, embedding_model_id=await embedding_model(library, provider)))["building"]
    async with asyncio.timeout(PATIENCE):
        while not provider.journal("embeddings"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async with library.platform.resources.database.write(library.scope) as session:
        await cancel(session, UUID(building["execution_id"]), library.platform.resources.redis)
    async with asyncio.timeout(PATIENCE):
        while (await get(library, base))["building"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await library.settled()
    assert await assert_one_index(library, index, base) == UUID(base)
    assert len(await library.ask("pilot", base, mode="vector")) == 1


async def test_the_last_word_counts(library: Library, provider: FakeModelServer, index: VectorIndex) -> None:
    base = await library.base()
    await library.ready(base, PILOTS)
    first, second = [await embedding_model(library, provider) for _ in range(2)]
    await change(library, base, embedding_model_id=first)
    await change(library, base, embedding_model_id=second)
    await library.settled()
    assert (await get(library, base))["embedding_model_id"] == second
    await change(library, base, embedding_model_id=first)
    await change(library, base, embedding_model_id=second)
    await library.settled()
    assert (await get(library, base))["embedding_model_id"] == second
    await assert_one_index(library, index, base)


async def test_a_model_that_fails_leaves_the_old_one_and_is_tried_again(
    library: Library, provider: FakeModelServer, index: VectorIndex
) -> None:
    base = await library.base()
    await library.ready(base, PILOTS)
    provider.fail("error", path="embeddings", status=401)
    model = await embedding_model(library, provider)
    await change(library, base, embedding_model_id=model)
    await library.settled()
    assert (await get(library, base))["building"]["chunks_done"] == 0
    assert len(await library.ask("pilot", base, mode="vector")) == 1

    provider.reset()
    await change(library, base, embedding_model_id=model)
    await library.settled()
    assert (await get(library, base))["embedding_model_id"] == model
    await assert_one_index(library, index, base)


async def test_chunks_are_no_larger_than_the_model_takes(library: Library, provider: FakeModelServer) -> None:
    model = await embedding_model(library, provider, context_window=512)
    base = await library.base(embedding_model_id=model, chunk_size=500)
    refused = await library.http.put(
        f"{BASES}/{base}", json={"name": "x", "chunk_size": 500, "embedding_model_id": None}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid")
    unknown = await library.http.post(BASES, json={"name": "y", "embedding_model_id": str(new_id())})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (422, "embedding_model_unknown")


async def test_a_rebuilt_index_costs_no_embedding(
    library: Library, provider: FakeModelServer, index: VectorIndex
) -> None:
    base = await library.base(embedding_model_id=await embedding_model(library, provider))
    await library.ready(base, PILOTS)
    await index.drop(UUID(base))
    assert await library.ask("pilot", base, mode="vector") == []
    asked = len(provider.journal("embeddings"))

    started = await library.http.post(f"{BASES}/{base}/rebuild")
    assert started.status_code == 202
    await library.settled()
    [[output]] = await library.sql("SELECT output FROM executions WHERE id = :id", id=started.json()["execution_id"])
    assert (output["embed"]["copied"], output["embed"]["embedded"]) == (1, 0)
    assert len(provider.journal("embeddings")) == asked
    assert await assert_one_index(library, index, base) != UUID(base)
    assert len(await library.ask("pilot", base, mode="vector")) == 1


async def test_words_are_indexed_anew_in_another_language(library: Library) -> None:
    base = await library.base(language="none")
    await library.ready(base, "Der Lotse fährt durch die Häfen.")
    assert await library.ask("Lotsen", base, mode="keyword") == []
    assert (await change(library, base, language="german"))["language"] == "german"
    await library.settled()
    assert len(await library.ask("Lotsen", base, mode="keyword")) == 1
    refused = await library.http.put(f"{BASES}/{base}", json={"name": "x", "language": "klingon"})
    assert refused.status_code == 422
