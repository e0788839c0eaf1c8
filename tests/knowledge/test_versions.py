"""A new content in a document's place: the old one is found until the new one is, and can be looked at afterwards."""

import asyncio
from typing import Any

import httpx
import pytest

from services.knowledge_base.documents import versions
from tests.knowledge import files
from tests.knowledge.support import Library, working
from tests.support.platform import Platform

DOCUMENTS = "/api/v1/documents"
MARLOW = b"# Pilots\n\nThe harbour pilot of Dover is called Marlow."
CONRAD = b"# Pilots\n\nThe harbour pilot of Dover is called Conrad."


async def uploaded(library: Library, base: str, name: str, data: bytes) -> str:
    answer = await library.upload(base, (name, data))
    assert answer.status_code == 202, answer.text
    return answer.json()["items"][0]["document"]["id"]


async def replace(library: Library, document: str, name: str, data: bytes, **fields: str) -> httpx.Response:
    return await library.http.put(f"{DOCUMENTS}/{document}/content", data=fields, files=[("file", (name, data))])


async def numbers(library: Library, document: str) -> list[tuple[int, bool]]:
    answer = await library.http.get(f"{DOCUMENTS}/{document}/versions")
    return [(item["number"], item["searchable"]) for item in answer.json()["items"]]


async def found(library: Library, base: str) -> list[str]:
    return [passage["text"].split()[-1] for passage in await library.ask("Who is the harbour pilot?", base)]


@pytest.mark.usefixtures("embeddings")
async def test_the_old_version_is_found_until_the_new_one_is_ready(library: Library, index: Any) -> None:
    base = await library.base()
    async with working(library.platform.resources):
        document = await uploaded(library, base, "pilots.md", MARLOW)
        await library.processed(document)
        await library.settled()
    assert await found(library, base) == ["Marlow."]

    answer = await replace(library, document, "pilots of 2027.md", CONRAD)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["version"], body["status"], body["searchable"], body["name"]) == (
        2,
        "pending",
        True,
        "pilots of 2027.md",
    )
    assert await found(library, base) == ["Marlow."]
    assert await numbers(library, document) == [(2, False), (1, True)]
    text = (await library.http.get(f"{DOCUMENTS}/{document}/text")).json()
    assert (text["version"], "Marlow" in text["text"]) == (1, True)

    async with working(library.platform.resources):
        seen: set[str] = set()
        async with asyncio.timeout(60):
            while (await library.document(document))["status"] != "ready":
                seen |= {" ".join(await found(library, base))}
        await library.settled()
    assert seen <= {"Marlow.", "Conrad."}
    assert await found(library, base) == ["Conrad."]
    assert await numbers(library, document) == [(2, True), (1, False)]
    assert await index.chunk_ids(base) == set(await library.chunk_ids(document))
    for number, data in ((1, MARLOW), (2, CONRAD)):
        original = await library.http.get(f"{DOCUMENTS}/{document}/original", params={"version": number})
        assert (original.content, original.headers["content-type"].split(";")[0]) == (data, "text/markdown")
    assert (await library.http.get(f"{DOCUMENTS}/{document}/original")).content == CONRAD


@pytest.mark.usefixtures("worker")
async def test_a_new_version_that_fails_leaves_the_old_one(library: Library) -> None:
    base = await library.base()
    document = await uploaded(library, base, "pilots.md", MARLOW)
    await library.processed(document)
    assert (await replace(library, document, "pilots.pdf", b"%PDF-1.7 this is no PDF")).status_code == 202
    failed = await library.processed(document)
    assert (failed["status"], failed["error"]["code"], failed["searchable"]) == ("failed", "document_damaged", True)
    assert await found(library, base) == ["Marlow."]

    assert (await replace(library, document, "pilots.md", CONRAD)).status_code == 202
    assert (await library.processed(document))["status"] == "ready"
    assert await found(library, base) == ["Conrad."]


async def test_what_it_has_or_another_one_has_is_no_new_version(library: Library, other: Library) -> None:
    base = await library.base()
    first = await uploaded(library, base, "a.md", MARLOW)
    await uploaded(library, base, "b.md", CONRAD)
    before = await library.document(first)

    same = await replace(library, first, "c.md", MARLOW)
    assert (same.status_code, same.json()) == (200, before)
    taken = await replace(library, first, "c.md", CONRAD)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "document_duplicate")
    assert await library.document(first) == before
    assert await numbers(library, first) == [(1, False)]
    theirs = await uploaded(other, await other.base(), "b.md", MARLOW)
    assert (await replace(other, theirs, "b.md", CONRAD)).status_code == 202


async def test_a_name_that_was_given_stays(library: Library) -> None:
    document = await uploaded(library, await library.base(), "a.md", b"1")
    await replace(library, document, "b.md", b"2")
    assert (await library.document(document))["name"] == "b.md"
    await library.http.patch(f"{DOCUMENTS}/{document}", json={"name": "Mine"})
    await replace(library, document, "c.md", b"3", password="secret")
    read = await library.document(document)
    assert (read["name"], read["version"], read["has_password"]) == ("Mine", 3, True)
    listed = (await library.http.get(f"{DOCUMENTS}/{document}/versions")).json()["items"]
    assert [item["name"] for item in listed] == ["c.md", "b.md", "a.md"]


async def test_replacements_at_once_come_one_after_another(library: Library) -> None:
    base = await library.base()
    document = await uploaded(library, base, "a.md", b"0")
    answers = await asyncio.gather(*(replace(library, document, "a.md", b"%d" % (n % 3 + 1)) for n in range(9)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    made = sum(answer.status_code == 202 for answer in answers)
    assert made >= 3
    kept = [number for number, _ in await numbers(library, document)]
    assert kept == list(range(made + 1, max(made + 1 - versions.KEPT, 0), -1))
    [[revisions, latest]] = await library.sql(
        "SELECT last_revision, (SELECT max(id::text) = execution_id::text FROM executions) FROM documents"
    )
    assert (revisions, latest) == (made + 1, True)


async def test_only_so_many_are_kept(library: Library) -> None:
    document = await uploaded(library, await library.base(), "a.md", b"0")
    for number in range(versions.KEPT + 3):
        assert (await replace(library, document, "a.md", b"%d" % (number + 1))).status_code == 202
    newest = versions.KEPT + 4
    assert [number for number, _ in await numbers(library, document)] == list(range(newest, newest - versions.KEPT, -1))
    [[pieces]] = await library.sql("SELECT count(*) FROM document_pieces")
    assert pieces == versions.KEPT


@pytest.mark.parametrize(
    ("files_", "status", "code"),
    [
        ([("files", ("a.md", b"1"))], 422, "upload_malformed"),
        ([("file", ("a.md", b"1")), ("file", ("b.md", b"2"))], 413, "too_many_files"),
        ([("file", ("a.md", b""))], 422, "upload_refused"),
        ([("file", ("a.md", b"\x7fELF" + bytes(100)))], 415, "document_type_unsupported"),
        ([("password", (None, b"p"))], 422, "upload_malformed"),
        ([("tags", (None, b"p")), ("file", ("a.md", b"1"))], 422, "upload_malformed"),
    ],
)
async def test_what_is_no_file_replaces_nothing(library: Library, files_: Any, status: int, code: str) -> None:
    document = await uploaded(library, await library.base(), "a.md", b"0")
    answer = await library.http.put(f"{DOCUMENTS}/{document}/content", files=files_)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert await numbers(library, document) == [(1, False)]


async def test_who_may_not_write_replaces_nothing(library: Library, other: Library, platform: Platform) -> None:
    document = await uploaded(library, await library.base(), "a.md", b"0")
    viewer = await Library.of(platform, await platform.join(library.account, "viewer"))
    assert (await replace(viewer, document, "a.md", b"1")).status_code == 403
    assert (await replace(other, document, "a.md", b"1")).status_code == 404
    assert (await library.http.put(f"{DOCUMENTS}/{document}/content", json={})).status_code == 415
    assert await numbers(library, document) == [(1, False)]
    assert (await viewer.http.get(f"{DOCUMENTS}/{document}/original")).content == b"0"


@pytest.mark.usefixtures("worker")
async def test_another_kind_of_file(library: Library) -> None:
    document = await uploaded(library, await library.base(), "a.md", MARLOW)
    await library.processed(document)
    await replace(library, document, "a.pdf", files.pdf("The pilot is called Conrad."))
    assert (await library.processed(document))["media_type"] == "application/pdf"
    await library.settled()
    listed = (await library.http.get(f"{DOCUMENTS}/{document}/versions")).json()["items"]
    assert [(item["number"], item["media_type"]) for item in listed] == [(2, "application/pdf"), (1, "text/markdown")]
