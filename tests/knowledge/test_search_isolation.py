"""Two tenants ask and write at the same time, in every mode: neither ever sees a word of the other's."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlalchemy import delete, insert

from shared.database.tables.knowledge import Chunk, ChunkEmbedding, Document
from shared.kit.ids import new_id
from shared.knowledge import keywords
from shared.knowledge.embedding import pack
from shared.knowledge.index import VectorRecord
from shared.knowledge.keywords import KeywordChunk
from tests.knowledge.support import Library

SEED = 41
MODES = ("vector", "keyword", "hybrid")
QUERIES = 150  # of each tenant, fifty at a time: a hundred of both
AT_ONCE = 50
WRITES = 60


@dataclass
class Tenant:
    """Writes documents as ingestion does at its end; each text says whose it is."""

    name: str
    library: Library
    base: UUID
    vector: bytes
    there: list[UUID] = field(default_factory=list[UUID])
    asked: int = 0
    found: int = 0

    async def write(self, number: int) -> None:
        document, chunk = new_id(), uuid5(self.base, str(number))
        tenant = self.library.account.tenant_id
        text = f"{self.name} says that harbour pilot {number} is called Marlow"
        record = VectorRecord(chunk, document, self.vector)
        await self.library.platform.resources.vectors.upsert(self.base, [record])
        own = {"tenant_id": tenant, "knowledge_base_id": self.base}
        async with self.library.platform.resources.database.write(self.library.scope) as session:
            row = {"name": self.name, "media_type": "text/plain", "size_bytes": 1, "content_hash": document.hex}
            await session.execute(insert(Document).values(id=document, status="ready", revision=1, **own, **row))
            place: dict[str, Any] = {"ordinal": 0, "headings": [], "start": 0, "end": len(text), "tokens": 9}
            await session.execute(
                insert(Chunk).values(id=chunk, document_id=document, revision=1, text=text, **own, **place)
            )
            await session.execute(
                insert(ChunkEmbedding).values(tenant_id=tenant, chunk_id=chunk, index_id=self.base, vector=self.vector)
            )
            chunks = [KeywordChunk(chunk, text)]
            await keywords.add(session, document_id=document, revision=1, language="english", chunks=chunks, **own)
        self.there.append(document)
        await keywords.merge(self.library.platform.resources.database, self.library.scope, self.base)

    async def delete_one(self, draw: random.Random) -> None:
        document = self.there.pop(draw.randrange(len(self.there)))
        async with self.library.platform.resources.database.write(self.library.scope) as session:
            await session.execute(delete(Document).where(Document.id == document))

    async def ask(self, mode: str, foreign: UUID) -> None:
        texts = [one["text"] for one in await self.library.ask("harbour pilot Marlow", str(self.base), mode=mode)]
        assert all(text.startswith(self.name) for text in texts), texts
        self.asked += 1
        self.found += bool(texts)
        body = {"knowledge_base_ids": [str(self.base), str(foreign)], "query": "pilot", "mode": mode}
        if self.asked % 10 == 0:
            assert (await self.library.http.post("/api/v1/knowledge-bases/query", json=body)).status_code == 404


@pytest.mark.usefixtures("embeddings")
async def test_no_passage_of_another_tenant_is_ever_found(library: Library, other: Library) -> None:
    embedder = await library.platform.resources.embedders.of(library.scope, None)
    [vector] = (await embedder.embed(["harbour pilot"])).vectors
    tenants = [
        Tenant(name, one, UUID(await one.base()), pack(vector)) for name, one in (("Ada", library), ("Bob", other))
    ]
    draw = random.Random(SEED)
    for tenant in tenants:
        for number in range(8):
            await tenant.write(number)

    async def write(tenant: Tenant) -> None:
        for number in range(8, 8 + WRITES):
            await tenant.write(number)
            if draw.random() < 0.6 and len(tenant.there) > 4:
                await tenant.delete_one(draw)

    async def ask(tenant: Tenant, foreign: UUID) -> None:
        for n in range(QUERIES // AT_ONCE):
            await tenant.ask(MODES[n % 3], foreign)

    ada, bob = tenants
    await asyncio.gather(
        write(ada),
        write(bob),
        *(ask(one, two.base) for one, two in ((ada, bob), (bob, ada)) for _ in range(AT_ONCE)),
    )
    assert [tenant.asked for tenant in tenants] == [QUERIES, QUERIES], f"seed {SEED}"
    assert [tenant.found for tenant in tenants] == [QUERIES, QUERIES], f"seed {SEED}"
