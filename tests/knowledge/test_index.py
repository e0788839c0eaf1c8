"""The index against a real Chroma, and against one that is away."""

import asyncio
import math
from uuid import UUID

import pytest

from shared.kit.ids import new_id
from shared.knowledge.embedding import pack
from shared.knowledge.errors import VectorStoreUnavailable
from shared.knowledge.index import VectorIndex, VectorRecord
from tests.fixtures.stack import Stack
from tests.knowledge.support import Valve, behind


def unit(angle: float) -> list[float]:
    """On a circle in the first two of 384 dimensions."""
    return [math.cos(angle), math.sin(angle), *([0.0] * 382)]


def record(angle: float, document: UUID | None = None) -> VectorRecord:
    return VectorRecord(new_id(), document or new_id(), pack(unit(angle)))


async def test_the_nearest_come_first_with_their_cosine(index: VectorIndex) -> None:
    base = new_id()
    records = [record(angle) for angle in (0.0, 0.5, 1.0, math.pi)]
    await index.upsert(base, records)

    hits = await index.search(base, unit(0.0), 10)
    assert [hit.chunk_id for hit in hits] == [one.chunk_id for one in records]
    assert [hit.score for hit in hits] == pytest.approx([1.0, math.cos(0.5), math.cos(1.0), 0.0], abs=1e-5)
    assert await index.search(base, unit(0.0), 1) == hits[:1]


async def test_putting_twice_keeps_one_and_the_last(index: VectorIndex) -> None:
    base, document = new_id(), new_id()
    first = record(0.0, document)
    await index.upsert(base, [first])
    await index.upsert(base, [VectorRecord(first.chunk_id, document, pack(unit(1.0)))])

    assert await index.chunk_ids(base) == {first.chunk_id}
    assert (await index.search(base, unit(1.0), 1))[0].score == pytest.approx(1.0, abs=1e-5)


async def test_more_than_one_request_takes(index: VectorIndex) -> None:
    base, document = new_id(), new_id()
    records = [record(number / 400, document) for number in range(2300)]
    await index.upsert(base, records)

    assert await index.chunk_ids(base, document) == {one.chunk_id for one in records}
    await index.delete_chunks(base, {one.chunk_id for one in records[:2200]})
    assert await index.chunk_ids(base) == {one.chunk_id for one in records[2200:]}


async def test_a_document_is_deleted_alone(index: VectorIndex) -> None:
    base, document = new_id(), new_id()
    mine, theirs = [record(0.1 * number, document) for number in range(3)], record(0.0)
    await index.upsert(base, [*mine, theirs])

    await index.delete_document(base, document)
    await index.delete_document(base, document)
    assert await index.chunk_ids(base) == {theirs.chunk_id}


async def test_bases_do_not_mix(index: VectorIndex) -> None:
    one, two = new_id(), new_id()
    await index.upsert(one, [record(0.0)])

    assert await index.search(two, unit(0.0), 5) == []
    await index.drop(two)
    assert len(await index.search(one, unit(0.0), 5)) == 1


async def test_what_was_never_there_or_is_dropped_is_no_error(index: VectorIndex) -> None:
    base = new_id()
    for _ in range(2):
        assert await index.search(base, unit(0.0), 5) == []
        assert await index.chunk_ids(base) == set()
        await index.delete_document(base, new_id())
        await index.delete_chunks(base, [new_id()])
        await index.drop(base)
        await index.upsert(base, [record(0.0)])
        await index.drop(base)


async def test_a_collection_that_another_process_made_again_is_found(index: VectorIndex, stack: Stack) -> None:
    base = new_id()
    await index.upsert(base, [record(0.0)])
    another = VectorIndex(stack.chroma_url)
    await another.drop(base)
    assert await index.search(base, unit(0.0), 5) == []
    await another.upsert(base, [record(0.0)])
    await another.close()

    assert len(await index.search(base, unit(0.0), 5)) == 1
    await index.upsert(base, [record(1.0)])
    assert len(await index.chunk_ids(base)) == 2


async def test_many_make_the_collection_at_once(index: VectorIndex) -> None:
    base = new_id()
    await asyncio.gather(*(index.upsert(base, [record(number / 10)]) for number in range(10)))
    assert len(await index.chunk_ids(base)) == 10


async def test_a_short_absence_is_bridged(chroma: Valve) -> None:
    async with behind(chroma) as index:
        base = new_id()
        chroma.shut = True
        upsert = asyncio.create_task(index.upsert(base, [record(0.0)]))
        while not chroma.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        chroma.shut = False
        await upsert
        assert len(await index.search(base, unit(0.0), 5)) == 1


async def test_a_store_that_is_away_is_told_as_such(chroma: Valve) -> None:
    chroma.shut = True
    async with behind(chroma) as index:
        with pytest.raises(VectorStoreUnavailable):
            await index.search(new_id(), unit(0.0), 5)
    nobody = VectorIndex("http://127.0.0.1:9")
    with pytest.raises(VectorStoreUnavailable):
        await nobody.drop(new_id())
    await nobody.close()
