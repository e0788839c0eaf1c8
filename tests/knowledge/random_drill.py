"""`python -m tests.knowledge.random_drill`: documents come, change and go, while what they need is killed at random.

Prints the seed first; the same seed makes the same plan. Fails if something was lost, is twice, or was left over.
"""

import argparse
import asyncio
import contextlib
import hashlib
import io
import os
import random
import secrets
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from sqlalchemy.exc import SQLAlchemyError

from cli.stack.chroma import Chroma
from cli.stack.embeddings import ensure_embeddings
from cli.stack.ports import find_free
from cli.stack.postgres import Postgres
from services.knowledge_base import purges, tidying
from shared.executions.cancel import cancel
from shared.executions.errors import ExecutionEnded
from shared.kit.logging import configure_logging
from shared.knowledge.index import VectorIndex
from tests.fixtures.stack import ROOT, Stack, shared_stack
from tests.knowledge import files
from tests.knowledge.support import Library, Valve, behind, valve
from tests.support.platform import create_database, open_platform, settings_for

LEASE = 2.0
WORKERS = 2
_QUIET_WITHIN = 180.0
# What is heard while Postgres is away.
_AWAY = (OSError, TimeoutError, SQLAlchemyError)
_TO_BE_EXPECTED = frozenset({"cancelled", "vector_store_unavailable"})
_BASES, _DOCUMENTS = "/api/v1/knowledge-bases", "/api/v1/documents"
_OPEN = (
    "SELECT (SELECT count(*) FROM executions WHERE status IN ('queued', 'running'))"
    " + (SELECT count(*) FROM knowledge_purges) AS open"
)


@dataclass
class World:
    library: Library
    base: str
    postgres: Postgres
    chroma: Chroma
    way: Valve
    directory: Path
    environment: dict[str, str]
    dice: random.Random
    workers: list[psutil.Popen] = field(default_factory=list[psutil.Popen])
    faults: Counter[str] = field(default_factory=Counter[str])

    def start_worker(self) -> None:
        log = self.directory / f"worker-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            argv = [sys.executable, "-m", "tests.knowledge.drill"]
            made = psutil.Popen(argv, cwd=ROOT, env=self.environment, stdout=output, stderr=output)
        self.workers.append(made)

    def end_worker(self, worker: psutil.Popen) -> None:
        self.workers.remove(worker)
        worker.kill()
        worker.wait()


@asynccontextmanager
async def open_world(here: Stack, directory: Path, seed: int, redis_database: int) -> AsyncGenerator[World]:
    """Postgres, Chroma and workers of its own, which may be killed."""
    postgres = Postgres(directory / "postgres", port=find_free(), password="drill", log=directory / "postgres.log")
    chroma = Chroma(directory / "chroma", port=find_free(), log=directory / "chroma.log")
    shelter = directory / "tmp"
    shelter.mkdir()
    await asyncio.gather(postgres.start(), chroma.start())
    stack = Stack(postgres.url, here.broker_url, chroma.url, str(directory))
    try:
        async with valve(chroma.url) as way:
            settings = settings_for(stack, *await create_database(stack, "drill"), redis_database=redis_database)
            settings = settings.model_copy(update={"chroma_url": way.url})
            await ensure_embeddings(settings.cache, lambda _: None)
            environment = {
                **os.environ,
                "APP_DATABASE_URL": settings.app_database_url.get_secret_value(),
                "BROKER_URL": settings.broker_url.get_secret_value(),
                "CHROMA_URL": way.url,
                "QUARTERDECK_MASTER_KEYS": settings.master_keys.get_secret_value(),
                "QUARTERDECK_CACHE": str(settings.cache),
                "QUARTERDECK_LEASE_SECONDS": str(LEASE),
                "TMPDIR": str(shelter),
            }
            async with open_platform(settings) as platform:
                library = await Library.of(platform, await platform.register("Ada"))
                base = await library.base(chunk_size=32, chunk_overlap=0)
                dice = random.Random(seed)
                world = World(library, base, postgres, chroma, way, directory, environment, dice)
                try:
                    for _ in range(WORKERS):
                        world.start_worker()
                    yield world
                finally:
                    for worker in list(world.workers):
                        world.end_worker(worker)
    finally:
        await chroma.stop()
        await postgres.stop()


class Readers:
    """People who bring documents and take them away. What may be found is known by a word of its own in each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dice = random.Random(world.dice.random())
        self.words: dict[str, str] = {}  # by the hash of what they stand in
        self.accepted: set[UUID] = set()
        self.stored: set[str] = set()
        self.deleted: set[str] = set()
        self.done: Counter[str] = Counter()

    async def work(self, until: asyncio.Event) -> None:
        ways: list[tuple[int, Callable[[], Awaitable[httpx.Response | None]]]] = [
            *((6, self.upload), (2, self.upload_archive), (3, self.replace), (2, self.replace_archive)),
            *((3, self.reprocess), (2, self.delete), (1, self.bulk_delete), (1, self.rebuild), (1, self.cancel)),
        ]
        while not until.is_set():
            weights, acts = zip(*ways, strict=True)
            [act] = self.dice.choices(acts, weights)
            with contextlib.suppress(*_AWAY):
                answer = await act()
                if answer is not None:
                    self.note(act.__name__, answer)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), self.dice.uniform(0, 0.4))

    def note(self, name: str, answer: httpx.Response) -> None:
        self.done[f"{name} {answer.status_code}"] += 1
        if not answer.is_success or not answer.content:
            return
        body = answer.json()
        items = [item["document"] for item in body["items"]] if name.startswith("upload") else [body]
        self.accepted |= {UUID(item["execution_id"]) for item in items if item and item.get("execution_id")}
        if name.startswith("upload"):
            self.stored |= {item["id"] for item in items}

    def text(self) -> tuple[str, str]:
        word = f"zq{self.dice.getrandbits(60):015x}"
        count = self.dice.choice([3, 3, 30, 150])
        return word, "\n\n".join(f"Chapter {n} of {word} tells of sails and of the sea." for n in range(count))

    def file(self) -> tuple[str, bytes]:
        word, text = self.text()
        kind = self.dice.choice(["txt", "md", "csv", "html", "docx", "pdf"])
        lines = text.split("\n\n")
        match kind:
            case "md":
                data = f"# About {word}\n\n{text}".encode()
            case "csv":
                data = "\n".join(["number,told", *(f"{n},{line}" for n, line in enumerate(lines))]).encode()
            case "html":
                data = f"<html><body><h1>{word}</h1>{''.join(f'<p>{one}</p>' for one in lines)}</body></html>".encode()
            case "docx":
                data = files.word(*(("Normal", line) for line in lines))
            case "pdf":
                data = files.pdf(*lines[:20])
            case _:
                data = text.encode()
        self.words[hashlib.sha256(data).hexdigest()] = word
        return f"{word}.{kind}", data

    def archive(self) -> tuple[str, bytes]:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as made:
            for number in range(self.dice.randint(2, 6)):
                word = f"zq{self.dice.getrandbits(60):015x}"
                data = f"In ship {number} of the fleet {word} sails.".encode()
                self.words[hashlib.sha256(data).hexdigest()] = word
                made.writestr(f"{number}.txt", data)
        return f"{self.dice.getrandbits(40)}.zip", packed.getvalue()

    async def some(self, count: int, where: str = "source = 'upload'") -> list[str]:
        rows = await self.world.library.sql(f"SELECT id FROM documents WHERE {where} ORDER BY id")
        return [str(row.id) for row in self.dice.sample(rows, min(count, len(rows)))]

    async def upload(self) -> httpx.Response | None:
        return await self.world.library.upload(self.world.base, self.file())

    async def upload_archive(self) -> httpx.Response | None:
        return await self.world.library.upload(self.world.base, self.archive())

    async def replace(self) -> httpx.Response | None:
        return await self._replace(self.file(), "source = 'upload' AND name NOT LIKE '%.zip'")

    async def replace_archive(self) -> httpx.Response | None:
        return await self._replace(self.archive(), "source = 'upload' AND name LIKE '%.zip'")

    async def _replace(self, named: tuple[str, bytes], where: str) -> httpx.Response | None:
        for one in await self.some(1, where):
            return await self.world.library.http.put(f"{_DOCUMENTS}/{one}/content", files=[("file", named)])
        return None

    async def reprocess(self) -> httpx.Response | None:
        for one in await self.some(1, "true"):
            return await self.world.library.http.post(f"{_DOCUMENTS}/{one}/reprocess")
        return None

    async def delete(self) -> httpx.Response | None:
        for one in await self.some(1):
            answer = await self.world.library.http.delete(f"{_DOCUMENTS}/{one}")
            self.deleted |= {one} if answer.status_code == 204 else set()
            return answer
        return None

    async def bulk_delete(self) -> httpx.Response | None:
        if not (going := await self.some(2)):
            return None
        body = {"action": "delete", "document_ids": going}
        answer = await self.world.library.http.post(f"{_BASES}/{self.world.base}/documents/bulk", json=body)
        self.deleted |= set(going) if answer.is_success else set()
        return answer

    async def rebuild(self) -> httpx.Response | None:
        return await self.world.library.http.post(f"{_BASES}/{self.world.base}/rebuild")

    async def cancel(self) -> httpx.Response | None:
        """As the route does, which belongs to another service."""
        library = self.world.library
        rows = await library.sql("SELECT id FROM executions WHERE status IN ('queued', 'running') ORDER BY id")
        if not rows:
            return None
        with contextlib.suppress(ExecutionEnded):
            async with library.platform.resources.database.write(library.scope) as session:
                await cancel(session, self.dice.choice(rows).id, library.platform.resources.redis)
            self.done["cancel"] += 1
        return None


class Faults:
    """Each kind once, in an order of chance, then as the dice say."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ways: dict[str, tuple[int, Callable[[], Awaitable[bool]]]] = {
            "worker killed": (6, self.kill_worker),
            "Chroma cut off": (3, self.cut_chroma),
            "Chroma killed": (1, self.kill_chroma),
            "Postgres killed": (1, self.kill_postgres),
        }

    async def reign(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        first = list(self.ways)
        self.world.dice.shuffle(first)
        while time.monotonic() < until or first:
            weights = [weight for weight, _ in self.ways.values()]
            kind = first.pop() if first else self.world.dice.choices(list(self.ways), weights)[0]
            if await self.ways[kind][1]():
                self.world.faults[kind] += 1
            elif not self.world.faults[kind]:
                first.insert(0, kind)
            await asyncio.sleep(self.world.dice.uniform(0.2, 1.5))

    async def kill_worker(self) -> bool:
        """One that is in the middle of something."""
        with contextlib.suppress(*_AWAY):
            async with asyncio.timeout(20):
                while not (held := await self._held()):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                worker = self.world.dice.choice(held)
                await asyncio.sleep(self.world.dice.uniform(0, 0.3))
                self.world.end_worker(worker)
                self.world.start_worker()
                return True
        return False

    async def _held(self) -> list[psutil.Popen]:
        rows = await self.world.library.sql("SELECT worker FROM executions WHERE status = 'running'")
        pids = {int(row.worker.split(":")[1]) for row in rows if row.worker}
        return [worker for worker in self.world.workers if worker.pid in pids]

    async def cut_chroma(self) -> bool:
        self.world.way.shut = True
        before = len(self.world.way.requests)
        await asyncio.sleep(self.world.dice.uniform(0.3, 3))
        self.world.way.shut = False
        return len(self.world.way.requests) > before

    async def kill_chroma(self) -> bool:
        await _restart(self.world.chroma, self.world.dice)
        return True

    async def kill_postgres(self) -> bool:
        await _restart(self.world.postgres, self.world.dice)
        return True


async def _restart(component: Any, dice: random.Random) -> None:
    component.process.kill()
    await component.process.wait(5)
    await asyncio.sleep(dice.uniform(0.1, 1))
    await component.start()


async def run(here: Stack, directory: Path, seed: int, seconds: float, redis_database: int = 0) -> str:
    """What it did, in a line; raises `AssertionError` for a promise that was broken."""
    async with open_world(here, directory, seed, redis_database) as world:
        readers, over = Readers(world), asyncio.Event()
        reading = asyncio.create_task(readers.work(over))
        faults = Faults(world)
        await faults.reign(seconds)
        over.set()
        await reading
        await _quiet(world)
        await _all_ready(world)
        count = await check(world, readers)
        assert set(world.faults) == set(faults.ways), world.faults
        return f"{dict(world.faults)}, {dict(readers.done)}, {count} documents at the end"


async def _quiet(world: World) -> None:
    """What the service's own sweeps would see to within a minute is seen to now."""
    resources = world.library.platform.resources
    async with asyncio.timeout(_QUIET_WITHIN):
        while True:
            with contextlib.suppress(*_AWAY):
                await tidying.sweep(resources)
                if (await world.library.sql(_OPEN))[0].open == 0:
                    return
                await purges.sweep(resources, age=5)
            await asyncio.sleep(0.2)


async def _all_ready(world: World) -> None:
    """Some were cancelled, or met a Chroma that was away for too long."""
    library = world.library
    failed = "SELECT id, error->>'code' AS code FROM documents WHERE status <> 'ready'"
    for _ in range(3):
        for row in await library.sql(failed):
            assert row.code in _TO_BE_EXPECTED, row
            answer = await library.http.post(f"{_DOCUMENTS}/{row.id}/reprocess")
            assert answer.status_code in (202, 404, 409), answer.text
        await _quiet(world)
    assert await library.sql(failed) == []


async def check(world: World, readers: Readers) -> int:
    """All that is promised when nothing is open any more. Gives the number of documents."""
    library = world.library
    await _check_executions(library, readers)
    documents = await library.sql("SELECT * FROM documents")
    there = {str(row.id) for row in documents}
    assert readers.stored - readers.deleted <= there, "documents that were accepted are lost"
    assert not there & readers.deleted, "deleted documents are there"
    async with behind(world.way) as index:
        await _check_rows(library, world.base, index)
    await _check_found(library, world.base, documents, readers)
    await _check_files(world)
    return len(documents)


async def _check_executions(library: Library, readers: Readers) -> None:
    rows = await library.sql(
        "SELECT e.id, e.status, e.error, count(v.seq) FILTER (WHERE v.type = 'done') AS ends FROM executions e"
        " LEFT JOIN execution_events v ON v.execution_id = e.id GROUP BY e.id"
    )
    assert readers.accepted <= {row.id for row in rows}
    for row in rows:
        assert row.status in ("succeeded", "failed", "cancelled"), row
        assert row.ends == 1, row
        if row.status == "failed":
            assert row.error["code"] in _TO_BE_EXPECTED, row.error


async def _check_rows(library: Library, base: str, index: VectorIndex) -> None:
    chunks = await library.sql(
        "SELECT c.id, c.document_id, c.revision, c.ordinal, d.revision AS found, d.chunk_count"
        " FROM chunks c LEFT JOIN documents d ON d.id = c.document_id ORDER BY c.document_id, c.ordinal"
    )
    mine: dict[UUID, list[Any]] = {}
    for row in chunks:
        assert row.revision == row.found, row
        mine.setdefault(row.document_id, []).append(row)
    for rows in mine.values():
        assert [row.ordinal for row in rows] == list(range(rows[0].chunk_count))
    ids = {row.id for row in chunks}
    indexes = await library.sql("SELECT id FROM knowledge_indexes WHERE status = 'active'")
    [[others]] = await library.sql("SELECT count(*) FROM knowledge_indexes WHERE status <> 'active'")
    [[active]] = indexes
    assert others == 0
    vectors = await library.sql("SELECT index_id, chunk_id FROM chunk_embeddings")
    assert {(row.index_id, row.chunk_id) for row in vectors} == {(active, id_) for id_ in ids}
    assert await index.all_indexes() <= {active, UUID(base)}
    assert await index.chunk_ids(active) == ids
    if active != UUID(base):
        assert await index.chunk_ids(UUID(base)) == set()
    for name, statement in _NONE.items():
        assert await library.sql(statement) == [], name


_NONE = {
    "words of another revision": "SELECT d.id FROM documents d LEFT JOIN keyword_documents k ON k.document_id = d.id"
    " WHERE d.chunk_count > 0 AND k.revision IS DISTINCT FROM d.revision",
    "segments of nothing": "SELECT s.id FROM keyword_segments s WHERE NOT EXISTS"
    " (SELECT FROM keyword_documents k WHERE k.segment_id = s.id)",
    "texts of another revision": "SELECT t.document_id FROM document_texts t JOIN documents d ON d.id = t.document_id"
    " WHERE t.revision <> d.revision OR t.version <> d.version",
    "documents without a text": "SELECT d.id FROM documents d WHERE NOT EXISTS"
    " (SELECT FROM document_texts t WHERE t.document_id = d.id)",
    "documents without their version": "SELECT d.id FROM documents d LEFT JOIN document_versions v"
    " ON v.document_id = d.id AND v.number = d.version WHERE v.content_hash IS DISTINCT FROM d.content_hash",
    "versions that are not whole": "SELECT v.id FROM document_versions v LEFT JOIN document_pieces p"
    " ON p.version_id = v.id GROUP BY v.id HAVING coalesce(sum(length(p.data)), 0) <> v.size_bytes",
    "purges": "SELECT id FROM knowledge_purges",
}


async def _check_found(library: Library, base: str, documents: list[Any], readers: Readers) -> None:
    living = {
        readers.words[row.content_hash]: row.id
        for row in documents
        if row.content_hash in readers.words  # no archives: they are found by what they hold
    }
    everything: list[str] = []
    for word, document_id in living.items():
        for mode in ("vector", "keyword", "hybrid"):
            found = await library.ask(f"sails {word}", base, mode=mode, top_k=50 if mode == "vector" else 5)
            everything += [passage["text"] for passage in found]
            if mode != "vector":
                assert found[0]["document_id"] == str(document_id), (mode, word)
        [[chunk_id, text]] = await library.sql(
            "SELECT id, text FROM chunks WHERE document_id = :d ORDER BY ordinal LIMIT 1", d=document_id
        )
        # Of sentences that are nearly alike, and an index that is not exact: that it is found, not how near.
        near = await library.ask(text, base, mode="vector", top_k=100)
        assert str(chunk_id) in {one for passage in near for one in passage["chunk_ids"]}, word
    gone = set(readers.words.values()) - living.keys()
    for word in sorted(gone):
        everything += [passage["text"] for passage in await library.ask(word, base, mode="keyword", top_k=20)]
    assert not [word for word in gone if any(word in text for text in everything)]


async def _check_files(world: World) -> None:
    """A worker that starts clears what the dead have left, and keeps nothing of what it has done."""
    for worker in list(world.workers):
        world.end_worker(worker)
    world.start_worker()
    library = world.library
    document = await library.add(world.base, "One more for the last worker.", "last")
    async with asyncio.timeout(_QUIET_WITHIN):
        while (found := await library.document(document))["status"] in ("pending", "processing"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert found["status"] == "ready", found["error"]
    await library.settled()
    left = [place for place in (world.directory / "tmp").glob("quarterdeck-documents-*/*/*") if place.is_dir()]
    assert left == []
    dead = list((world.directory / "tmp").glob("quarterdeck-documents-*/*-*"))
    assert len(dead) == 1, dead


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.knowledge.random_drill", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    options = parser.parse_args()
    configure_logging("critical", "console")
    print(f"seed {options.seed}, faults for {options.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="quarterdeck-drill-") as directory:
        print(asyncio.run(run(shared_stack(), Path(directory), options.seed, options.minutes * 60)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
