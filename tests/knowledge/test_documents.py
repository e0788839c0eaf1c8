"""Documents from their upload to their end, through the API, by a real worker."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from shared.executions.cancel import cancel
from tests.knowledge import files
from tests.knowledge.support import Library

BASES = "/api/v1/knowledge-bases"
DOCUMENTS = "/api/v1/documents"
STEPS = ("extract", "chunk", "embed", "index", "publish", "clean")
TIDES = b"# Tides\n\nHigh water at Dover is at noon on Fridays."


@pytest.mark.usefixtures("worker")
async def test_files_of_every_kind_are_processed_and_bad_ones_say_why(library: Library) -> None:
    base = await library.base()
    answer = await library.upload(
        base,
        ("tides.md", TIDES),
        ("pilots.txt", "Der Lotse heißt Marlow.".encode("cp1252")),
        ("ports.pdf", files.pdf("Ports of the Channel.", "Calais lies opposite of Dover.")),
        ("signals.docx", files.word(("Heading 1", "Signals"), ("Normal", "Two short blasts: I turn to port."))),
        ("empty.txt", b""),
        ("cat.txt", b"\x7fELF" + bytes(100)),
        ("locked.docx", files.encrypted_office()),
        ("broken.pdf", b"%PDF-1.7 this is no PDF"),
        ("scan.pdf", files.pdf("", "")),
    )
    assert answer.status_code == 202
    results = {item["name"]: item for item in answer.json()["items"]}

    assert {name: (item["status"], (item["error"] or {}).get("code")) for name, item in results.items()} == {
        "tides.md": ("accepted", None),
        "pilots.txt": ("accepted", None),
        "ports.pdf": ("accepted", None),
        "signals.docx": ("accepted", None),
        "empty.txt": ("refused", "document_empty"),
        "cat.txt": ("refused", "document_type_unsupported"),
        "locked.docx": ("accepted", None),
        "broken.pdf": ("accepted", None),
        "scan.pdf": ("accepted", None),
    }
    accepted = [item["document"]["id"] for item in results.values() if item["document"]]
    await asyncio.gather(*(library.processed(document) for document in accepted))
    found = await library.documents(base)
    assert {name: (item["status"], (item["error"] or {}).get("code")) for name, item in found.items()} == {
        "tides.md": ("ready", None),
        "pilots.txt": ("ready", None),
        "ports.pdf": ("ready", None),
        "signals.docx": ("ready", None),
        "locked.docx": ("failed", "document_encrypted"),
        "broken.pdf": ("failed", "document_damaged"),
        "scan.pdf": ("failed", "document_without_text"),
    }
    assert {name: (item["media_type"], item["page_count"]) for name, item in found.items() if item["chunk_count"]} == {
        "tides.md": ("text/markdown", None),
        "pilots.txt": ("text/plain", None),
        "ports.pdf": ("application/pdf", 2),
        "signals.docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", None),
    }
    read = (await library.http.get(f"{BASES}/{base}")).json()
    assert (read["document_count"], read["chunk_count"]) == (
        7,
        sum(item["chunk_count"] or 0 for item in found.values()),
    )
    assert set(await library.documents(base, status="failed")) == {
        "locked.docx",
        "broken.pdf",
        "scan.pdf",
    }


@pytest.mark.usefixtures("worker")
async def test_an_execution_tells_how_it_went(library: Library) -> None:
    base = await library.base()
    good = await library.processed((await library.upload(base, ("a.md", TIDES))).json()["items"][0]["document"]["id"])
    bad = await library.processed(
        (await library.upload(base, ("b.pdf", b"%PDF-1.7 nothing"))).json()["items"][0]["document"]["id"]
    )
    await library.settled()

    async def execution(document: dict[str, Any]) -> Any:
        [row] = await library.sql("SELECT * FROM executions WHERE id = :id", id=document["execution_id"])
        steps = await library.sql(
            "SELECT node, status FROM task_executions WHERE execution_id = :id ORDER BY id", id=document["execution_id"]
        )
        return row, [tuple(step) for step in steps]

    row, steps = await execution(good)
    assert (row.kind, row.lane, row.status, row.name) == ("ingestion", "ingestion", "succeeded", "Ingest a.md")
    assert steps == [(name, "succeeded") for name in STEPS]
    stages = await library.sql(
        "SELECT DISTINCT data->'progress'->>'stage' FROM execution_events WHERE execution_id = :id", id=row.id
    )
    assert {"extract", "chunk", "embed", "index"} <= {stage for (stage,) in stages}
    row, steps = await execution(bad)
    assert (row.status, row.error["code"], row.error["message"]) == (
        "failed",
        bad["error"]["code"],
        bad["error"]["message"],
    )
    assert steps == [("extract", "failed")]


@pytest.mark.usefixtures("worker")
async def test_the_same_content_is_taken_once(library: Library) -> None:
    base, elsewhere = await library.base("One"), await library.base("Two")

    async def upload(into: str, name: str) -> tuple[str, str]:
        [item] = (await library.upload(into, (name, TIDES))).json()["items"]
        return item["status"], item["document"]["id"]

    answers = await asyncio.gather(*(upload(base, f"{number}.md") for number in range(5)))
    assert sorted(status for status, _ in answers) == ["accepted"] + ["duplicate"] * 4
    assert len({document for _, document in answers}) == 1
    assert (await upload(elsewhere, "a.md"))[0] == "accepted"
    text = await library.http.post(f"{BASES}/{base}/text-content", json={"name": "b", "text": TIDES.decode()})
    assert (text.status_code, text.json()["error"]["code"]) == (409, "document_duplicate")

    await library.http.delete(f"{DOCUMENTS}/{answers[0][1]}")
    assert (await upload(base, "again.md"))[0] == "accepted"


@pytest.mark.usefixtures("worker")
async def test_text_content_is_a_document_and_its_key_makes_one(library: Library) -> None:
    base = await library.base()
    body = {"name": "Tides", "text": TIDES.decode()}

    answers = [
        await library.http.post(f"{BASES}/{base}/text-content", json=body, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = await library.http.post(
        f"{BASES}/{base}/text-content", json={**body, "name": "x"}, headers={"Idempotency-Key": "k"}
    )
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")
    document = await library.processed(answers[0].json()["id"])
    assert (document["status"], document["media_type"], document["size_bytes"]) == (
        "ready",
        "text/markdown",
        len(TIDES),
    )
    assert document["content_hash"] == hashlib.sha256(TIDES).hexdigest()
    await library.http.post(f"{DOCUMENTS}/{document['id']}/reprocess")
    later = await library.http.post(f"{BASES}/{base}/text-content", json=body, headers={"Idempotency-Key": "k"})
    assert (later.status_code, later.json()["id"]) == (202, document["id"])


async def test_an_upload_that_broke_off_can_be_sent_again_with_its_key(library: Library) -> None:
    base = await library.base()
    headers = {"Idempotency-Key": "mine"}

    async def send(*named: tuple[str, bytes]) -> httpx.Response:
        files = [("files", (name, data)) for name, data in named]
        return await library.http.post(f"{BASES}/{base}/documents", files=files, headers=headers)

    (first,) = (await send(("a.md", b"flood"))).json()["items"]
    again = (await send(("a.md", b"flood"), ("b.md", b"ebb"))).json()["items"]

    assert [item["status"] for item in again] == ["accepted", "accepted"]
    assert again[0]["document"]["execution_id"] == first["document"]["execution_id"]
    other = await send(("a.md", b"neap"))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")
    assert set(await library.documents(base)) == {"a.md", "b.md"}


@pytest.mark.usefixtures("worker")
async def test_reprocessing_takes_up_new_chunk_sizes_and_leaves_no_old_vector(library: Library, index: Any) -> None:
    base = await library.base(chunk_size=32, chunk_overlap=0)
    document = await library.ready(base, " ".join(f"Sentence {number} of many." for number in range(100)))
    before = await library.chunk_ids(document)
    await library.http.put(f"{BASES}/{base}", json={"name": "Handbook", "chunk_size": 200})

    answer = await library.http.post(f"{DOCUMENTS}/{document}/reprocess", headers={"Idempotency-Key": "again"})
    assert answer.status_code == 202
    assert (await library.processed(document))["status"] == "ready"
    after = await library.chunk_ids(document)
    assert 0 < len(after) < len(before)
    await library.settled()
    assert await index.chunk_ids(base) == set(after)

    repeated = await library.http.post(f"{DOCUMENTS}/{document}/reprocess", headers={"Idempotency-Key": "again"})
    assert repeated.json()["execution_id"] == answer.json()["execution_id"]
    assert repeated.json()["status"] == "ready"


async def test_a_document_at_work_is_not_processed_twice(library: Library) -> None:
    document = await library.add(await library.base(), "Nobody works on this yet.")
    answer = await library.http.post(f"{DOCUMENTS}/{document}/reprocess")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "document_busy")


async def test_a_cancelled_ingestion_is_a_failed_document(library: Library) -> None:
    base = await library.base()
    document = await library.add(base, "Cancelled before it began.")
    execution = (await library.document(document))["execution_id"]
    async with library.platform.resources.database.write(library.scope) as session:
        await cancel(session, execution, library.platform.resources.redis)

    found = await library.document(document)
    assert (found["status"], found["error"]["code"]) == ("failed", "cancelled")
    assert list(await library.documents(base, status="failed")) == ["note"]
    assert await library.documents(base, status="pending") == {}
    assert (await library.http.post(f"{DOCUMENTS}/{document}/reprocess")).json()["status"] == "pending"


@pytest.mark.usefixtures("worker")
async def test_another_tenant_sees_no_document(library: Library, other: Library) -> None:
    document = await library.ready(await library.base(), "The password of the harbour office is swordfish.")
    theirs = await other.base()

    for answer in (
        await other.http.get(f"{DOCUMENTS}/{document}"),
        await other.http.delete(f"{DOCUMENTS}/{document}"),
        await other.http.post(f"{DOCUMENTS}/{document}/reprocess"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "document_not_found")
    assert await other.ask("the password of the harbour office", theirs) == []
    assert (await library.document(document))["status"] == "ready"


async def test_documents_page_newest_first(library: Library) -> None:
    base = await library.base()
    ids = [await library.add(base, f"text {number}", f"n{number}") for number in range(5)]

    url = f"{BASES}/{base}/documents"
    first = (await library.http.get(url, params={"limit": 3})).json()
    second = (await library.http.get(url, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert list(await library.documents(base, q="N3")) == ["n3"]
    assert (await library.http.get(url, params={"status": "nonsense"})).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a", "text": "  \n "},
        {"name": "a", "text": "\x00"},
        {"name": "", "text": "b"},
        {"name": "a"},
        {"name": "a", "text": "b", "format": "html"},
        {"name": "a", "text": "b", "owner": "me"},
    ],
)
async def test_bad_text_content_is_refused(library: Library, body: dict[str, Any]) -> None:
    base = await library.base()
    assert (await library.http.post(f"{BASES}/{base}/text-content", json=body)).status_code == 422
    assert await library.documents(base) == {}


async def test_a_text_is_kept_as_it_was_given(library: Library, worker: None) -> None:
    base = await library.base()
    document = await library.ready(base, "    indented = True\n\nWords.  \n")
    found = (await library.http.get(f"/api/v1/documents/{document}/text")).json()
    assert found["text"].startswith("    indented = True")
