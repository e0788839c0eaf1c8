"""kill -9 in the middle of an ingestion: another worker ends it, with no chunk twice and none left over."""

import asyncio
import contextlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import text

from shared.knowledge.index import VectorIndex
from shared.tasks.doorbell import WAKE_QUEUE
from tests.executions.support import LedgerView, owner_connection
from tests.knowledge import files
from tests.knowledge.support import Library, Valve, working
from tests.support.platform import Platform

LEASE = 2.0
FILES = 24
# Some two hundred chunks of 32 tokens: four batches of embeddings.
LONG = "\n\n".join(f"In chapter {n} sentence {n * 7} tells of the sea and of sails." for n in range(200))
SMALL: dict[str, Any] = {"chunk_size": 32, "chunk_overlap": 0}


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
    async with asyncio.timeout(120):
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


async def assert_whole(library: Library, index: VectorIndex, base: str, *documents: str) -> None:
    """The fault happened, and what is left of it is nothing: in chunks, vectors, words and the vector store."""
    rows = await library.sql(
        "SELECT c.id, c.document_id, c.revision, c.ordinal, d.revision AS found, d.chunk_count FROM chunks c"
        " JOIN documents d ON d.id = c.document_id WHERE c.knowledge_base_id = :base ORDER BY c.document_id, c.ordinal",
        base=base,
    )
    for document in documents:
        mine = [row for row in rows if str(row.document_id) == document]
        assert [row.ordinal for row in mine] == list(range(len(mine)))
        assert {(row.revision, row.chunk_count) for row in mine} == {(mine[0].found, len(mine))}
    ids = {row.id for row in rows}
    [(active, status)] = await library.sql(
        "SELECT id, status FROM knowledge_indexes WHERE knowledge_base_id = :base", base=base
    )
    embedded = await library.sql("SELECT index_id, chunk_id FROM chunk_embeddings")
    assert (status, {(row.index_id, row.chunk_id) for row in embedded}) == ("active", {(active, id_) for id_ in ids})
    assert await index.chunk_ids(active) == ids
    words = await library.sql("SELECT document_id, revision FROM keyword_documents")
    assert {tuple(row) for row in words} == {(row.document_id, row.revision) for row in rows}
    [[killed]] = await library.sql("SELECT count(*) FROM executions WHERE attempts > 0")
    assert killed >= 1  # children of an archive may have been begun by the same worker


async def progress(library: Library, document: str) -> tuple[str, int, int]:
    found: dict[str, Any] = (await library.document(document))["progress"] or {"stage": "", "done": 0, "total": 0}
    return found["stage"], found["done"], found["total"]


@pytest.fixture(autouse=True)
def _prompt(embeddings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.knowledge_base.indexes.building.SEARCHES_END", timedelta(seconds=0.1))


@pytest.fixture(autouse=True)
async def _nothing_left(platform: Platform) -> AsyncGenerator[None]:
    """What a test that failed has left is no work of the next one's worker."""
    yield
    view = LedgerView(await owner_connection(platform))
    await view.run("UPDATE executions SET status = 'cancelled' WHERE status IN ('queued', 'running')")
    view.connection.terminate()
    await platform.resources.redis.delete(WAKE_QUEUE)


async def steps(library: Library, document: str) -> dict[str, Any]:
    rows = await library.sql(
        "SELECT s.node, s.output, s.finished_at FROM task_executions s JOIN executions e ON e.id = s.execution_id"
        " WHERE e.spec->>'document_id' = :id ORDER BY s.id",
        id=document,
    )
    return {row.node: row for row in rows}


async def steps_of_newest(library: Library, document: str) -> dict[str, Any]:
    rows = await library.sql(
        "SELECT s.node, s.output FROM task_executions s JOIN documents d ON d.execution_id = s.execution_id"
        " WHERE d.id = :id ORDER BY s.id",
        id=document,
    )
    return {row.node: row for row in rows}


async def test_killed_while_reading(library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path) -> None:
    base = await library.base()
    slow = await asyncio.to_thread(files.slow_word, "Read at last.")
    document = (await library.upload(base, ("slow.docx", slow))).json()["items"][0]["document"]["id"]
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def reading() -> bool:
            """The child that has the readers loaded has made a copy of itself for the document."""
            with contextlib.suppress(psutil.Error):  # a child ended meanwhile
                return any("extract_child" in " ".join(one.cmdline()) and one.children() for one in process.children())
            return False

        children = await kill_when(process, reading)
    assert len(children) > 1
    async with asyncio.timeout(15):
        while any(psutil.pid_exists(child) for child in children):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    await end_it(library, document)
    await assert_whole(library, index, base, document)
    assert (await library.ask("read", base))[0]["text"] == "Read at last."


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
async def test_killed_while_images_are_read(
    library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path
) -> None:
    base = await library.base()
    pages = [Image.new("L", (1400, 700), 255) for _ in range(4)]
    for number, page in enumerate(pages):
        ImageDraw.Draw(page).text((60, 80), f"Harbour master {number}", font=ImageFont.load_default(64), fill=0)
    scan = io.BytesIO()
    pages[0].save(scan, "TIFF", save_all=True, append_images=pages[1:])
    document = (await library.upload(base, ("scan.tiff", scan.getvalue()))).json()["items"][0]["document"]["id"]
    read = "SELECT count(*) FROM document_recognitions"
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def recognizing() -> bool:
            return 0 < (await library.sql(read))[0][0] < len(pages)

        await kill_when(process, recognizing)
    [[before]] = await library.sql(read)

    await end_it(library, document)
    await assert_whole(library, index, base, document)
    output = (await steps(library, document))["ocr"].output
    assert (output["pages"], output["read_before"]) == (len(pages), before)
    assert "Harbour master 3" in (await library.ask("harbour", base, top_k=20))[-1]["text"]


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
    assert list(after) == ["extract", "chunk", "embed", "index", "publish", "clean"]
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


async def replaced(library: Library, base: str) -> str:
    """A document that is ready, and asked to be processed again."""
    document = await library.add(base, LONG)
    await end_it(library, document)
    assert (await library.http.post(f"/api/v1/documents/{document}/reprocess")).status_code == 202
    return document


async def test_killed_while_the_revision_is_published(
    library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path
) -> None:
    base = await library.base(**SMALL)
    document = await replaced(library, base)
    before = await library.chunk_ids(document)
    chroma.held = "upsert"
    async with (
        worker_process(library, chroma, tmp_path / "log") as process,
        library.platform.resources.database.write(library.scope) as session,
    ):
        await asyncio.wait_for(chroma.holding.wait(), 120)
        # All that is left may be done but for the one transaction that makes it what is found.
        await session.execute(text("SELECT FROM knowledge_bases WHERE id = :id FOR NO KEY UPDATE"), {"id": base})
        chroma.held = None

        async def publishing() -> bool:
            return "publish" in await steps_of_newest(library, document)

        await kill_when(process, publishing)
        assert {one["chunk_id"] for one in await library.ask("chapter sea", base, top_k=100)} <= set(map(str, before))
        [[both]] = await library.sql("SELECT count(DISTINCT revision) FROM chunks WHERE document_id = :d", d=document)
        assert both == 2

    await end_it(library, document)
    await assert_whole(library, index, base, document)
    assert not set(before) & set(await library.chunk_ids(document))
    embed = (await steps_of_newest(library, document))["embed"].output
    assert (embed["embedded"], embed["copied"]) == (0, len(before))


async def test_killed_before_what_was_replaced_is_removed(
    library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path
) -> None:
    base = await library.base(**SMALL)
    document = await replaced(library, base)
    chroma.held = "get"
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def cleaning() -> bool:
            return chroma.holding.is_set()

        await kill_when(process, cleaning)
    chroma.held = None
    left = await index.chunk_ids(UUID(base)) - set(await library.chunk_ids(document))
    assert left

    async with working(library.platform.resources, LEASE):
        await library.settled()
    await assert_whole(library, index, base, document)


async def test_killed_while_an_index_is_built(
    library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path
) -> None:
    base = await library.base(**SMALL)
    document = await library.add(base, LONG)
    await end_it(library, document)
    assert (await library.http.post(f"/api/v1/knowledge-bases/{base}/rebuild")).status_code == 202
    chroma.held = "upsert"
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def building() -> bool:
            return chroma.holding.is_set()

        await kill_when(process, building)
    chroma.held = None
    assert len(await library.ask("chapter sea", base, mode="vector", top_k=5)) == 5

    async with working(library.platform.resources, LEASE):
        await library.settled()
    await assert_whole(library, index, base, document)
    assert len(await library.ask("chapter sea", base, mode="vector", top_k=5)) == 5


async def test_killed_while_an_archive_is_unpacked(
    library: Library, chroma: Valve, index: VectorIndex, tmp_path: Path
) -> None:
    base = await library.base()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        for number in range(FILES):
            made.writestr(f"folder/{number}.txt", f"Pilot number {number} is called Marlow.")
    answer = await library.upload(base, ("pilots.zip", archive.getvalue()))
    document = answer.json()["items"][0]["document"]["id"]
    async with worker_process(library, chroma, tmp_path / "log") as process:

        async def unpacking() -> bool:
            [[children]] = await library.sql("SELECT count(*) FROM documents WHERE parent_id = :id", id=document)
            return 0 < children < FILES

        await kill_when(process, unpacking)

    async with working(library.platform.resources, LEASE):
        await library.settled()
    found = await library.sql("SELECT id, path, status FROM documents WHERE parent_id = :id", id=document)
    assert sorted(row.path for row in found) == sorted(f"folder/{number}.txt" for number in range(FILES))
    assert {row.status for row in found} == {"ready"}
    await assert_whole(library, index, base, *(str(row.id) for row in found))


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
