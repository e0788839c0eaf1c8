"""Documents come into the index of words, are replaced and deleted, while segments are merged beside it."""

import asyncio
import random
from dataclasses import dataclass, field
from itertools import takewhile
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, update

from shared.database.session import ReadSession
from shared.database.tables.knowledge import Document
from shared.kit.ids import new_id
from shared.knowledge import keywords
from shared.knowledge.keywords import KeywordChunk
from shared.knowledge.keywords import merging as merging_module
from shared.knowledge.keywords.finder import KeywordFinder
from tests.knowledge.support import Library

SEED = 20


@dataclass
class Shelf:
    """Documents straight in the database, each of one word of its own and one that all have."""

    library: Library
    base: UUID
    texts: dict[UUID, list[str]] = field(default_factory=dict[UUID, list[str]])
    finder: KeywordFinder = field(default_factory=KeywordFinder)

    async def put(self, document: UUID | None, *texts: str, language: str = "english") -> UUID:
        tenant = self.library.account.tenant_id
        async with self.library.platform.resources.database.write(self.library.scope) as session:
            if document is None:
                document = new_id()
                row = {"name": "d", "media_type": "text/plain", "size_bytes": 1, "content_hash": document.hex}
                await session.execute(
                    insert(Document).values(
                        id=document, tenant_id=tenant, knowledge_base_id=self.base, status="ready", revision=0, **row
                    )
                )
            await keywords.add(
                session,
                tenant_id=tenant,
                knowledge_base_id=self.base,
                document_id=document,
                revision=0,
                language=language,
                chunks=[KeywordChunk(new_id(), text) for text in texts],
            )
        self.texts[document] = list(texts)
        return document

    async def delete(self, document: UUID) -> None:
        async with self.library.platform.resources.database.write(self.library.scope) as session:
            await session.execute(delete(Document).where(Document.id == document))
        del self.texts[document]

    async def merge(self) -> int:
        return await keywords.merge(self.library.platform.resources.database, self.library.scope, self.base)

    async def count(self, query: str) -> int:
        async with self.library.platform.resources.database.read(self.library.scope) as session:
            await _from_one_snapshot(session)
            return (await self.finder.find(session, [self.base], query)).count

    async def segments(self) -> list[int]:
        rows = await self.library.sql("SELECT chunk_count FROM keyword_segments ORDER BY 1")
        return [row[0] for row in rows]


async def _from_one_snapshot(session: ReadSession) -> None:
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


@pytest.fixture
async def shelf(library: Library) -> Shelf:
    return Shelf(library, UUID(await library.base()))


async def test_a_document_is_found_replaced_and_gone(shelf: Shelf) -> None:
    document = await shelf.put(None, "harbour pilots", "tides")
    other = await shelf.put(None, "a pilot")
    assert await shelf.count("pilot") == 2
    await shelf.put(document, "bread")
    assert (await shelf.count("pilot"), await shelf.count("bread")) == (1, 1)
    await shelf.put(document, "bread")
    assert (await shelf.count("bread"), await shelf.segments()) == (1, [1, 1])
    await shelf.delete(other)
    assert (await shelf.count("pilot"), await shelf.segments()) == (0, [1])
    await shelf.put(document)
    assert (await shelf.count("bread"), await shelf.segments()) == (0, [])


async def test_segments_are_merged_by_size_and_the_deleted_leave(shelf: Shelf) -> None:
    documents = [await shelf.put(None, f"common word{n}", "common") for n in range(20)]
    for document in documents[:3]:
        await shelf.delete(document)
    while await shelf.merge():
        pass
    assert await shelf.segments() == [34]
    assert await shelf.count("common") == 34
    assert [await shelf.count(f"word{n}") for n in (0, 3, 19)] == [0, 1, 1]

    for document in documents[3:8]:  # 5 of 17 documents: more than a quarter
        await shelf.delete(document)
    assert (await shelf.segments(), await shelf.count("common")) == ([34], 24)
    assert await shelf.merge() == 1
    assert (await shelf.segments(), await shelf.count("common")) == ([24], 24)
    assert (await shelf.library.sql("SELECT count(*) FROM keyword_deletions"))[0][0] == 0


async def test_languages_are_not_mixed(shelf: Shelf) -> None:
    for n in range(8):
        await shelf.put(None, "Häuser", language="german")
        await shelf.put(None, f"houses {n}")
    await shelf.merge()
    assert await shelf.segments() == [8, 8]
    assert (await shelf.count("haus"), await shelf.count("house")) == (8, 8)


async def test_what_is_missing_is_known(shelf: Shelf) -> None:
    await shelf.put(None, "one")
    lost = await shelf.put(None, "two")
    async with shelf.library.platform.resources.database.write(shelf.library.scope) as session:
        await keywords.remove(session, [lost])
        await session.execute(update(Document).values(chunk_count=1))
        assert await keywords.missing(session, shelf.base, 10) == [lost]
    assert (await shelf.count("one"), await shelf.count("two")) == (1, 0)


async def test_a_deleted_knowledge_base_leaves_nothing(shelf: Shelf) -> None:
    for n in range(9):
        await shelf.put(None, f"word{n}")
    await shelf.merge()
    await shelf.delete(next(iter(shelf.texts)))
    answer = await shelf.library.http.delete(f"/api/v1/knowledge-bases/{shelf.base}")
    assert answer.status_code == 204, answer.text
    for table in ("segments", "blocks", "documents", "deletions"):
        assert (await shelf.library.sql(f"SELECT count(*) FROM keyword_{table}"))[0][0] == 0, table


async def test_writers_deleters_and_merges_at_once_lose_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging_module, "_FANOUT", 3)
    draw = random.Random(SEED)
    ended = asyncio.Event()
    merged = 0

    async def work(seed: int) -> None:
        mine = random.Random(seed)
        own: list[UUID] = []
        for n in takewhile(lambda n: n < 25 or merged < 3, range(300)):  # until enough came between
            if own and mine.random() < 0.5:
                document = own[mine.randrange(len(own))]
                if mine.random() < 0.5:
                    own.remove(document)
                    await shelf.delete(document)
                else:
                    await shelf.put(document, *(f"common s{seed}n{n}" for _ in range(mine.randint(1, 9))))
            else:
                own.append(await shelf.put(None, *(f"common s{seed}n{n}" for _ in range(mine.randint(1, 9)))))

    async def keep_merging() -> None:
        nonlocal merged
        while not ended.is_set():
            merged += await shelf.merge()

    async def keep_asking() -> None:
        while not ended.is_set():
            assert await shelf.count("nothing") == 0

    others = [asyncio.create_task(task) for task in (keep_merging(), keep_merging(), keep_asking())]
    await asyncio.gather(*(work(draw.randrange(1000)) for _ in range(6)))
    ended.set()
    await asyncio.gather(*others)

    assert merged >= 3, f"seed {SEED}"
    every = [text for texts in shelf.texts.values() for text in texts]
    assert await shelf.count("common") == len(every)
    for text in set(every):
        assert await shelf.count(text.split()[1]) == every.count(text)
