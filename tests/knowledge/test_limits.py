"""How much a tenant may keep: set by admins, never passed, however many upload at once."""

import asyncio
from typing import Any

import pytest

from tests.knowledge.support import Library
from tests.support.platform import Platform

LIMITS = "/api/v1/knowledge-limits"
DOCUMENTS = "/api/v1/documents"
NONE: dict[str, Any] = {"max_file_bytes": None, "max_documents": None, "max_bytes": None}


async def limit(library: Library, **own: int) -> dict[str, Any]:
    answer = await library.http.put(LIMITS, json={**NONE, **own})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def stored(library: Library) -> tuple[int, int, int]:
    [row] = await library.sql(
        "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM document_versions),"
        " (SELECT count(*) FROM document_pieces)"
    )
    return tuple(row)


async def test_an_admin_sets_them_and_everyone_sees_what_is_used(library: Library, platform: Platform) -> None:
    settings = platform.settings
    operator = {
        "max_file_bytes": settings.upload_max_bytes,
        "max_documents": settings.knowledge_max_documents,
        "max_bytes": settings.knowledge_max_bytes,
    }
    viewer = await Library.of(platform, await platform.join(library.account, "viewer"))
    editor = await Library.of(platform, await platform.join(library.account, "editor"))
    base = await library.base()
    await library.upload(base, ("a.txt", b"12345"))

    seen = (await viewer.http.get(LIMITS)).json()
    assert seen == {
        **operator,
        "max_files": settings.upload_max_files,
        "own": NONE,
        "operator": operator,
        "documents": 1,
        "bytes": 5,
    }
    assert (await editor.http.put(LIMITS, json=NONE)).status_code == 403
    changed = await limit(library, max_documents=7)
    assert (changed["max_documents"], changed["own"]["max_documents"]) == (7, 7)
    assert changed["operator"] == operator
    too_much = {**NONE, "max_bytes": settings.knowledge_max_bytes + 1}
    answer = await library.http.put(LIMITS, json=too_much)
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "max_bytes")
    assert (await limit(library))["max_documents"] == operator["max_documents"]


async def test_what_does_not_fit_is_refused_and_leaves_nothing(library: Library, other: Library) -> None:
    base = await library.base()
    await limit(library, max_documents=2, max_bytes=30)

    answer = await library.upload(
        base, ("a.txt", b"x" * 20), ("b.txt", b"y" * 11), ("c.txt", b"z" * 10), ("d.txt", b"d")
    )
    results = [(item["name"], item["status"], (item["error"] or {}).get("code")) for item in answer.json()["items"]]
    assert results == [
        ("a.txt", "accepted", None),
        ("b.txt", "refused", "knowledge_limit_reached"),
        ("c.txt", "accepted", None),
        ("d.txt", "refused", "knowledge_limit_reached"),
    ]
    assert await stored(library) == (2, 2, 2)
    [[executions]] = await library.sql("SELECT count(*) FROM executions")
    assert executions == 2

    alone = await library.upload(base, ("d.txt", b"d"))
    error = alone.json()["error"]
    assert (alone.status_code, error["code"]) == (413, "knowledge_limit_reached")
    assert error["details"][0]["message"] == "d.txt: No more than 2 documents may be kept."
    text = await library.http.post(f"/api/v1/knowledge-bases/{base}/text-content", json={"name": "t", "text": "t"})
    assert (text.status_code, text.json()["error"]["code"]) == (413, "knowledge_limit_reached")
    again = await library.upload(base, ("again.txt", b"x" * 20))
    assert again.json()["items"][0]["status"] == "duplicate"
    assert (await other.upload(await other.base(), ("a.txt", b"another tenant's"))).status_code == 202

    document = (await library.documents(base))["a.txt"]["id"]
    await library.http.delete(f"{DOCUMENTS}/{document}")
    assert (await library.upload(base, ("d.txt", b"d"))).status_code == 202


async def test_a_tenants_own_size_of_a_file(library: Library) -> None:
    base = await library.base()
    await limit(library, max_file_bytes=10)
    answer = await library.upload(base, ("a.txt", b"x" * 11))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "document_too_large")
    text = await library.http.post(f"/api/v1/knowledge-bases/{base}/text-content", json={"name": "t", "text": "t" * 11})
    assert (text.status_code, text.json()["error"]["code"]) == (413, "document_too_large")
    assert await stored(library) == (0, 0, 0)


@pytest.mark.parametrize(("own", "fit"), [({"max_documents": 5}, 5), ({"max_bytes": 70}, 7)])
async def test_many_at_once_do_not_pass_it_together(library: Library, own: dict[str, int], fit: int) -> None:
    base = await library.base()
    await limit(library, **own)

    answers = await asyncio.gather(*(library.upload(base, (f"{n}.txt", b"%010d" % n)) for n in range(20)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(202), statuses.count(413)) == (fit, 20 - fit)
    assert await stored(library) == (fit, fit, fit)


async def test_versions_that_were_replaced_count(library: Library) -> None:
    base = await library.base()
    document = (await library.upload(base, ("a.txt", b"x" * 20))).json()["items"][0]["document"]["id"]
    await limit(library, max_documents=1, max_bytes=50)

    async def replace(data: bytes) -> int:
        files = [("file", ("a.txt", data))]
        return (await library.http.put(f"{DOCUMENTS}/{document}/content", files=files)).status_code

    assert await replace(b"y" * 20) == 202
    before = await library.document(document)
    assert await replace(b"z" * 20) == 413
    assert await library.document(document) == before
    assert (await library.http.get(LIMITS)).json()["bytes"] == 40
