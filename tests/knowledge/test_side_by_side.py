"""All that can be done to a knowledge base at once: nobody waits for ever, and nobody hears of a failure of ours."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.knowledge_base import tidying
from services.knowledge_base.summaries import sweep as summaries
from shared.knowledge import keywords
from shared.knowledge.index import VectorIndex
from tests.knowledge.support import Library
from tests.knowledge.test_archives import packed

BASES, DOCUMENTS = "/api/v1/knowledge-bases", "/api/v1/documents"
ROUNDS = 25

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.knowledge_base.indexes.building.SEARCHES_END", timedelta(seconds=0.1))


class Crowd:
    """People who do what comes into their heads."""

    def __init__(self, library: Library, base: str) -> None:
        self.library, self.base = library, base
        self.dice = random.Random(4)
        self.told: Counter[tuple[str, bool]] = Counter()
        self.failures: list[str] = []
        self.number = 0

    async def busy(self, name: str, act: Callable[[], Awaitable[httpx.Response | None]]) -> None:
        for _ in range(ROUNDS):
            answer = await act()
            if answer is not None:
                self.told[name, answer.is_success] += 1
                if answer.status_code >= 500:
                    self.failures.append(f"{name}: {answer.status_code} {answer.text}")
            await asyncio.sleep(self.dice.uniform(0, 0.05))

    async def some(self, count: int) -> list[str]:
        rows = await self.library.sql("SELECT id FROM documents WHERE knowledge_base_id = :b", b=self.base)
        return [str(row.id) for row in self.dice.sample(rows, min(count, len(rows)))]

    async def add(self) -> httpx.Response | None:
        self.number += 1
        body = {"name": f"n{self.number}", "text": f"Pilot number {self.number} is called Marlow. " * 20}
        return await self.library.http.post(f"{BASES}/{self.base}/text-content", json=body)

    async def add_archive(self) -> httpx.Response | None:
        self.number += 1
        named = {f"{n}.txt": f"Archive {self.number} tells of ship {n}.".encode() for n in range(4)}
        return await self.library.upload(self.base, (f"a{self.number}.zip", packed(**named)))

    async def replace(self) -> httpx.Response | None:
        self.number += 1
        for one in await self.some(1):
            files = [("file", (f"r{self.number}.txt", f"Replaced by number {self.number}.".encode()))]
            return await self.library.http.put(f"{DOCUMENTS}/{one}/content", files=files)

    async def reprocess(self) -> httpx.Response | None:
        for one in await self.some(1):
            return await self.library.http.post(f"{DOCUMENTS}/{one}/reprocess")

    async def delete(self) -> httpx.Response | None:
        for one in await self.some(1):
            return await self.library.http.delete(f"{DOCUMENTS}/{one}")

    async def change(self) -> httpx.Response | None:
        for one in await self.some(1):
            return await self.library.http.patch(f"{DOCUMENTS}/{one}", json={"tags": [str(self.number)]})

    async def bulk(self) -> httpx.Response | None:
        action = self.dice.choice(["delete", "tag", "untag", "reprocess"])
        body: dict[str, Any] = {"document_ids": await self.some(4), "action": action}
        if "tag" in action:
            body["tags"] = ["x"]
        if body["document_ids"]:
            return await self.library.http.post(f"{BASES}/{self.base}/documents/bulk", json=body)

    async def rebuild(self) -> httpx.Response | None:
        return await self.library.http.post(f"{BASES}/{self.base}/rebuild")

    async def repair(self) -> httpx.Response | None:
        return await self.library.http.post(f"{BASES}/{self.base}/check", json={"repair": True})

    async def set_language(self) -> httpx.Response | None:
        language = self.dice.choice(["english", "german"])
        return await self.library.http.put(f"{BASES}/{self.base}", json={"name": "Handbook", "language": language})

    async def tidy(self) -> None:
        resources = self.library.platform.resources
        await keywords.merge(resources.database, self.library.scope, UUID(self.base))
        await tidying.tidy(resources, self.library.scope)
        await summaries.sweep(resources, quiet=0)
        await asyncio.sleep(0.02)

    async def ask(self) -> httpx.Response | None:
        body = {"knowledge_base_ids": [self.base], "query": "pilot", "mode": self.dice.choice(["vector", "hybrid"])}
        return await self.library.http.post(f"{BASES}/query", json=body)


async def deadlocks(library: Library) -> int:
    [[count]] = await library.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return count


async def assert_whole(library: Library, index: VectorIndex, base: str) -> None:
    chunks = {row.id for row in await library.sql("SELECT id FROM chunks WHERE knowledge_base_id = :b", b=base)}
    indexes = await library.sql("SELECT id FROM knowledge_indexes WHERE knowledge_base_id = :b", b=base)
    for row in indexes:
        vectors = await library.sql("SELECT chunk_id FROM chunk_embeddings WHERE index_id = :i", i=row.id)
        assert {one.chunk_id for one in vectors} == await index.chunk_ids(row.id) == chunks
    strange = await library.sql(
        "SELECT d.id FROM documents d LEFT JOIN keyword_documents k ON k.document_id = d.id AND k.part = 0"
        " WHERE d.status NOT IN ('ready', 'failed') OR d.chunk_count > 0 AND k.revision IS DISTINCT FROM d.revision"
    )
    assert strange == []
    assert len(indexes) == 1


async def test_no_two_wait_for_each_other(library: Library, index: VectorIndex) -> None:
    base = await library.base()
    crowd = Crowd(library, base)
    doing = [
        *(crowd.add, crowd.add, crowd.add_archive, crowd.add_archive, crowd.replace, crowd.reprocess, crowd.delete),
        *(crowd.delete, crowd.change, crowd.bulk, crowd.bulk, crowd.bulk, crowd.rebuild, crowd.repair),
        *(crowd.set_language, crowd.tidy, crowd.ask),
    ]
    await asyncio.gather(*(crowd.busy(act.__name__, act) for act in doing))
    assert crowd.failures == []
    done = (
        "add",
        "add_archive",
        "replace",
        "delete",
        "change",
        "bulk",
        "rebuild",
        "repair",
        "set_language",
    )
    assert [name for name in done if not crowd.told[name, True]] == []
    await library.settled(within=180)
    assert await deadlocks(library) == 0
    await assert_whole(library, index, base)

    gone = await library.base("Gone")
    rest = Crowd(library, gone)
    for _ in range(6):
        await rest.add()
    await rest.add_archive()
    busy = (rest.bulk, rest.bulk, rest.tidy, rest.change)
    tasks = [asyncio.create_task(rest.busy(act.__name__, act)) for act in busy]
    deleted = await library.http.delete(f"{BASES}/{gone}")
    assert deleted.status_code == 204, deleted.text
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert rest.failures == []
    await library.settled()
    assert await index.chunk_ids(UUID(gone)) == set()
    assert await deadlocks(library) == 0
