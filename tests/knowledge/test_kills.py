"""kill -9 in the middle of an ingestion: another worker ends it, with no chunk twice and none left over."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from shared.knowledge.index import VectorIndex
from tests.knowledge import files
from tests.knowledge.support import Library, Valve, working

LEASE = 2.0
# Some two hundred chunks of 32 tokens: four batches of embeddings.
LONG = "\n\n".join(f"In chapter {n} sentence {n * 7} tells of the sea and of sails." for n in range(200))
SMALL = {"chunk_size": 32, "chunk_overlap": 0}


@asynccontextmanager
async def worker_process(library: Library, chroma: Valve, log: Path) -> AsyncGenerator[psutil.Process]:
    settings = library.platform.settings
    environment = {
        **os.environ,
        "APP_DATABASE_URL": settings.app_database_url.get_secret_value(),
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "CHROMA_URL": chroma.url,
        "QUARTERDECK_MASTER_KEYS": settings.master_keys.get_secret_value(),
        "QUARTERDECK_CACHE": str(settings.cache),
        "QUARTERDECK_LEASE_SECONDS": str(LEASE),
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.knowledge.drill", env=environment, stdout=output, stderr=output
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


Reached = Callable[[], Awaitable[bool]]


async def kill_when(process: psutil.Process, reached: Reached) -> set[int]:
    """Gives the children that the process had when it was killed."""
    async with asyncio.timeout(60):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    children = {child.pid for child in process.children(recursive=True)}
    process.kill()
    return children


async def end_it(library: Library, document: str) -> None:
    async with working(library.platform.resources, LEASE):
        found = await library.processed(document)
        await library.settled()
    assert found["status"] == "ready", found["error"]


async def assert_whole(library: Library, index: VectorIndex, base: str, document: str) -> None:
    """The fault happened, and what is left of it is nothing."""
    rows = await library.sql(
        "SELECT id, ordinal, embedding IS NOT NULL AS embedded FROM chunks WHERE document_id = :id ORDER BY ordinal",
        id=document,
    )
    assert [row.ordinal for row in rows] == list(range(len(rows)))
    assert all(row.embedded for row in rows)
    assert await index.chunk_ids(UUID(base)) == {row.id for row in rows}
    assert (await library.document(document))["chunk_count"] == len(rows)
    [[attempts]] = await library.sql("SELECT attempts FROM executions WHERE spec->>'document_id' = :id", id=document)
    assert attempts == 1


async def progress(library: Library, document: str) -> tuple[str, int, int]:
    found = (await library.document(document))["progress"] or {"stage": "", "done": 0, "total": 0}
    return found["stage"], found["done"], found["total"]


@pytest.fixture(autouse=True)
def _needs_embeddings(embeddings: None) -> None: ...


async def steps(library: Library, document: str) -> dict[str, Any]:
    rows = await library.sql(
        "SELECT s.node, s.output, s.finished_at FROM task_executions s JOIN executions e ON e.id = s.execution_id"
        " WHERE e.spec->>'document_id' = :id ORDER BY s.id",
        id=document,
    )
    return {row.node: row for row in rows}


async def test_killed_while_reading(library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path) -> None:
    base = await library.base()
    slow = await asyncio.to_thread(files.slow_word, "Read at last.")
    document = (await library.upload(base, ("slow.docx", slow))).json()["items"][0]["document"]["id"]
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def reading() -> bool:
            with contextlib.suppress(psutil.Error):  # a child ended meanwhile
                return any("extract_child" in " ".join(child.cmdline()) for child in process.children())
            return False

        children = await kill_when(process, reading)
    assert children
    async with asyncio.timeout(5):
        while any(psutil.pid_exists(child) for child in children):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    await end_it(library, document)
    await assert_whole(library, index, base, document)
    assert (await library.ask("read", base))[0]["text"] == "Read at last."


async def test_killed_while_embedding(library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path) -> None:
    base = await library.base(**SMALL)
    document = await library.add(base, LONG)
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def embedding() -> bool:
            stage, done, total = await progress(library, document)
            return stage == "embed" and 0 < done < total

        await kill_when(process, embedding)
    _, embedded_before, _ = await progress(library, document)
    ids_before, steps_before = await library.chunk_ids(document), await steps(library, document)

    await end_it(library, document)
    await assert_whole(library, index, base, document)
    assert await library.chunk_ids(document) == ids_before
    after = await steps(library, document)
    assert list(after) == ["extract", "chunk", "embed", "index"]
    # What was recorded is not done again, and of what was not, only what is missing.
    assert {name: after[name].finished_at for name in ("extract", "chunk")} == {
        name: steps_before[name].finished_at for name in ("extract", "chunk")
    }
    embed = after["embed"].output
    assert embed["there_before"] >= embedded_before > 0
    assert embed["embedded"] + embed["there_before"] == len(ids_before)


async def test_killed_between_the_index_and_its_answer(
    library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path
) -> None:
    base = await library.base(**SMALL)
    document = await library.add(base, LONG)
    chroma.held = "upsert"
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def indexed() -> bool:
            return chroma.holding.is_set()

        await kill_when(process, indexed)
    assert await index.chunk_ids(UUID(base))
    chroma.held = None

    await end_it(library, document)
    await assert_whole(library, index, base, document)


async def test_killed_and_deleted_before_another_worker_comes(
    library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path
) -> None:
    base = await library.base(**SMALL)
    document = await library.add(base, LONG)
    chroma.held = "upsert"
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def indexed() -> bool:
            return chroma.holding.is_set()

        await kill_when(process, indexed)
    assert await index.chunk_ids(UUID(base))
    chroma.held = None
    assert (await library.http.delete(f"/api/v1/documents/{document}")).status_code == 204

    async with working(library.platform.resources, LEASE):
        await library.settled()
    assert await index.chunk_ids(UUID(base)) == set()
