"""What differs between Postgres, the index of words and Chroma is found and mended."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.knowledge_base.consistency import losses
from shared.kit.ids import new_id
from shared.knowledge.embedding import pack
from shared.knowledge.index import VectorIndex, VectorRecord
from tests.knowledge.support import Library

BASES = "/api/v1/knowledge-bases"
SEA = [f"In chapter {n} the pilot number {n * 7} tells of the sea." for n in range(4)]

pytestmark = pytest.mark.usefixtures("worker")


async def check(library: Library, base: str, *, repair: bool = False) -> dict[str, Any]:
    answer = await library.http.post(f"{BASES}/{base}/check", json={"repair": repair})
    assert answer.status_code == 202, answer.text
    await library.settled()
    [[output]] = await library.sql("SELECT output FROM executions WHERE id = :id", id=answer.json()["execution_id"])
    return output


async def change(library: Library, statement: str, **values: Any) -> None:
    async with library.platform.resources.database.write(library.scope) as session:
        done = await session.execute(text(statement), values)
        assert done.rowcount > 0  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def test_every_fault_is_found_and_mended(library: Library, index: VectorIndex) -> None:
    base = await library.base()
    documents = [await library.ready(base, words, f"sea {n}") for n, words in enumerate(SEA)]
    sound = await check(library, base)
    assert sound["consistent"]
    assert sound["checked"] == {"chunks": 4, "indexed": 4}

    [first], [second] = [await library.chunk_ids(document) for document in documents[:2]]
    await change(library, "DELETE FROM chunk_embeddings WHERE chunk_id = :id", id=first)
    await index.delete_chunks(UUID(base), [second])
    orphan = VectorRecord(new_id(), UUID(documents[0]), pack([1.0] + [0.0] * 383))
    await index.upsert(UUID(base), [orphan])
    await change(library, "DELETE FROM keyword_documents WHERE document_id = :id", id=documents[2])
    await change(
        library, "UPDATE documents SET status = 'processing', execution_id = NULL WHERE id = :id", id=documents[3]
    )
    await change(
        library,
        "INSERT INTO chunks (id, tenant_id, knowledge_base_id, document_id, revision, ordinal, text, headings, start,"
        ' "end", tokens) SELECT :id, tenant_id, knowledge_base_id, document_id, 99, 0, text, headings, start, "end",'
        " tokens FROM chunks WHERE document_id = :document LIMIT 1",
        id=new_id(),
        document=documents[1],
    )
    faults = {
        "documents_stuck": 1,
        "documents_with_chunks_twice": 0,
        "chunks_left_over": 1,
        "chunks_without_vector": 1,
        "vectors_missing": 1,
        "vectors_orphaned": 1,
        "documents_without_words": 1,
    }
    found = await check(library, base)
    assert (found["consistent"], found["found"], found["repaired"]) == (False, faults, None)
    assert found["examples"]["vectors_orphaned"] == [str(orphan.chunk_id)]

    mended = await check(library, base, repair=True)
    assert mended["found"] == faults
    assert mended["repaired"] == faults
    assert (await library.processed(documents[3]))["status"] == "ready"
    await library.settled()
    after = await check(library, base)
    assert after["consistent"], after
    assert await index.chunk_ids(UUID(base)) == {
        row.id for row in await library.sql("SELECT id FROM chunks WHERE knowledge_base_id = :b", b=base)
    }
    for mode in ("vector", "keyword"):
        assert len(await library.ask("pilot sea", base, mode=mode, top_k=10)) == 4


async def test_a_collection_that_chroma_lost_comes_back_by_itself(library: Library, index: VectorIndex) -> None:
    base = await library.base()
    await library.ready(base, SEA[0])
    await library.settled()
    resources = library.platform.resources
    assert await losses.sweep(resources) == 0
    await index.drop(UUID(base))
    assert await library.ask("pilot", base, mode="vector") == []

    assert await losses.sweep(resources) == 1
    await library.settled()
    assert len(await library.ask("pilot", base, mode="vector")) == 1
    [[embedded]] = await library.sql(
        "SELECT output->'repaired'->'chunks_without_vector' FROM executions WHERE spec->>'action' = 'check'"
    )
    assert embedded == 0
    assert await losses.sweep(resources) == 0


async def test_only_who_may_write_checks_and_rebuilds(library: Library, other: Library) -> None:
    base = await library.base()
    viewer = (await library.platform.join(library.account, "viewer")).headers
    for path, body in (("check", {"repair": True}), ("rebuild", None)):
        assert (await other.http.post(f"{BASES}/{base}/{path}", json=body)).status_code == 404
        assert (await library.http.post(f"{BASES}/{base}/{path}", json=body, headers=viewer)).status_code == 403


async def test_asked_for_twice_with_one_key_it_is_done_once(library: Library) -> None:
    base, key = await library.base(), {"idempotency-key": "once"}
    for path, wanted in (("check", {"repair": True}), ("rebuild", None)):
        headers = {"idempotency-key": f"{path} once"}
        answers = [await library.http.post(f"{BASES}/{base}/{path}", json=wanted, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert len({answer.json()["execution_id"] for answer in answers}) == 1

    assert (await library.http.post(f"{BASES}/{base}/check", headers=key)).status_code == 202  # `repair` is false
    for path, other in (("check", {"repair": True}), ("rebuild", None)):
        refused = await library.http.post(f"{BASES}/{base}/{path}", json=other, headers=key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_mismatch")
