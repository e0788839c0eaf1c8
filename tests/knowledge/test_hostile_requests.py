"""Requests made to do harm: what is somebody else's, what never leaves its place, bodies that are no forms."""

import asyncio
import json
import logging
import re
from typing import Any
from uuid import uuid4

import httpx
import pytest
from python_multipart.multipart import parse_options_header
from sqlalchemy import text

from tests.knowledge.support import Library
from tests.support.platform import Platform

CANARY = "canary-7d1f-password"


async def everything(library: Library) -> str:
    """All rows of all tables that its tenant can see, but for originals."""
    found: list[str] = []
    async with library.platform.resources.database.read(library.scope) as session:
        tables = await session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'")
        )
        for table in tables:
            rows = await session.execute(text(f'SELECT t::text FROM "{table}" t'))
            found += [row[0] for row in rows]
    return "\n".join(found)


@pytest.mark.usefixtures("worker")
async def test_a_password_is_nowhere_to_be_read(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    base = await library.base()
    answers: list[httpx.Response] = []
    for number in range(2):  # the second is told from the first by the key
        answers.append(
            await library.http.post(
                f"/api/v1/knowledge-bases/{base}/documents",
                files=[("password", (None, CANARY + "x" * number)), ("files", ("a.txt", b"Some words."))],
                headers={"Idempotency-Key": "one"},
            )
        )
    document = answers[0].json()["items"][0]["document"]["id"]
    await library.processed(document)
    answers.append(
        await library.http.post(
            f"/api/v1/documents/{document}/reprocess", json={"password": CANARY}, headers={"Idempotency-Key": "two"}
        )
    )
    await library.processed(document)
    for bad in ({"password": CANARY, "wrong": 1}, {"password": CANARY * 50}, {"password": [CANARY]}):
        answers.append(await library.http.post(f"/api/v1/documents/{document}/reprocess", json=bad))
        assert answers[-1].status_code == 422
    for field in (CANARY * 50, CANARY * 200):
        answers.append(
            await library.http.post(
                f"/api/v1/knowledge-bases/{base}/documents",
                files=[("password", (None, field)), ("files", ("b.txt", b"Other words."))],
            )
        )
        assert answers[-1].status_code >= 400
    execution = (await library.document(document))["execution_id"]
    assert execution
    assert CANARY not in "".join(answer.text for answer in answers)
    assert CANARY not in caplog.text
    assert CANARY not in await everything(library)
    [[sealed]] = await library.sql("SELECT password FROM documents WHERE id = :id", id=document)
    assert sealed
    assert CANARY.encode() not in sealed


@pytest.mark.usefixtures("worker")
async def test_what_is_anothers_is_not_there(library: Library, other: Library) -> None:
    hers = await other.base("Hers")
    secret = await other.ready(hers, "The code of the safe is 4711.", "secret.txt")
    [chunk] = await other.chunk_ids(secret)
    base = await library.base("His")
    mine = await library.ready(base, "Nothing of interest is here, only a safe.", "mine.txt")
    http = library.http

    async def refused(method: str, path: str, **body: Any) -> None:
        answer = await http.request(method, f"/api/v1{path}", **body)
        assert answer.status_code in (404, 409, 422), (path, answer.status_code, answer.text)
        assert "4711" not in answer.text
        assert str(other.account.tenant_id) not in answer.text

    for path in ("", "/text", "/chunks", "/versions", "/original", "/original?version=1"):
        await refused("GET", f"/documents/{secret}{path}")
    await refused("PATCH", f"/documents/{secret}", json={"name": "x"})
    await refused("DELETE", f"/documents/{secret}")
    await refused("POST", f"/documents/{secret}/reprocess", json={})
    await refused("PUT", f"/documents/{secret}/content", files=[("file", ("a.txt", b"words"))])
    await refused("GET", f"/knowledge-bases/{hers}/documents?parent={secret}")
    await refused("POST", f"/knowledge-bases/{hers}/documents/bulk", json={"action": "delete", "document_ids": [mine]})
    await refused("POST", "/knowledge-bases/query", json={"knowledge_base_ids": [base, hers], "query": "safe"})
    await refused(
        "POST", "/knowledge-bases/query", json={"knowledge_base_ids": [base], "query": "safe", "rerank_model_id": hers}
    )
    await refused("POST", f"/knowledge-bases/{hers}/chunk-preview", json={"text": "words"})
    await refused("POST", f"/knowledge-bases/{base}/chunk-preview", json={"document_id": secret})
    for field in ("embedding_model_id", "summary_model_id"):
        await refused("POST", "/knowledge-bases", json={"name": f"x{uuid4()}", field: str(secret)})
        await refused("PUT", f"/knowledge-bases/{base}", json={"name": "His", field: str(secret)})

    # Filters name what they like, and find what is one's own.
    for filters in ({"document_ids": [secret]}, {"document_ids": [secret, mine]}, {"agent_id": str(uuid4())}):
        found = await library.ask("code of the safe", base, filters=filters)
        assert {passage["document_id"] for passage in found} <= {mine}
    listed = await http.get(f"/api/v1/knowledge-bases/{base}/documents", params={"parent": secret})
    assert listed.json()["items"] == []
    bulk = await http.post(
        f"/api/v1/knowledge-bases/{base}/documents/bulk", json={"action": "delete", "document_ids": [secret]}
    )
    assert bulk.json()["items"][0]["error"]["code"] == "document_not_found"
    asked = await http.post("/api/v1/evaluation-sets", json={"name": "Set", "knowledge_base_ids": [base]})
    set_id = asked.json()["id"]
    for expected in ({"document_id": secret}, {"document": "secret.txt"}):
        await refused("POST", f"/evaluation-sets/{set_id}/questions", json={"text": "Code?", "expected": [expected]})
    line = json.dumps({"question": "Code?", "expected": [secret]})
    answer = await http.post(
        f"/api/v1/evaluation-sets/{set_id}/questions/import", json={"format": "jsonl", "content": line}
    )
    assert answer.status_code == 422
    await refused("POST", f"/evaluation-sets/{set_id}/generate", json={"count": 1, "document_ids": [secret]})

    assert (await other.document(secret))["status"] == "ready"
    assert await other.chunk_ids(secret) == [chunk]
    assert (await other.ask("code of the safe", hers))[0]["document_id"] == secret


def part(disposition: str, body: bytes, *more: str) -> bytes:
    lines = "\r\n".join((f"Content-Disposition: form-data; {disposition}", *more))
    return b"--b\r\n" + lines.encode() + b"\r\n\r\n" + body + b"\r\n"


_FILE = part('name="files"; filename="a.txt"', b"Some words.")
_END = b"--b--\r\n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", _FILE + _END),
        ("multipart/form-data; boundary=", _FILE + _END),
        ("multipart/form-data; boundary=" + "b" * 60_000, _FILE + _END),
        ("multipart/form-data; boundary=\u00fc", _FILE + _END),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", _FILE),
        ("multipart/form-data; boundary=b", b"x" * 100_000),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 100_000 + b"\r\n" + _END),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X" * 5_000_000 + b": y\r\n\r\n" + _END),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 5_000_000 + b"\r\n\r\n" + _END),
        ("multipart/form-data; boundary=b", part('name="tags"', b"x") * 5000 + _FILE + _END),
        ("multipart/form-data; boundary=b", part('name="tags"', b"x" * 5_000_000) + _FILE + _END),
        ("multipart/form-data; boundary=b", part('name="password"', b"\xff\xfe") + _FILE + _END),
        ("multipart/form-data; boundary=b", part('name="password"', b"") + _FILE + _END),
        ("multipart/form-data; boundary=b", part('name="tenant_id"', b"x") + _FILE + _END),
        ("multipart/form-data; boundary=b", part('name="agent_ids"', b"' OR 1=1") + _FILE + _END),
        ("multipart/form-data; boundary=b", part('name="files"', b"no file") + _END),
        ("multipart/form-data; boundary=b", _FILE * 5000 + _END),
        ("multipart/form-data; boundary=b", part("name=\"files\"; filename*=utf-7''+AAA-", b"x") + _END),
        ("text/plain", _FILE + _END),
    ],
)
async def test_bodies_that_are_no_forms_are_refused(library: Library, kind: str, body: bytes) -> None:
    base = await library.base()
    answer = await asyncio.wait_for(
        library.http.post(
            f"/api/v1/knowledge-bases/{base}/documents", content=body, headers={b"Content-Type": kind.encode("latin-1")}
        ),
        30,
    )
    assert 400 <= answer.status_code < 500 or answer.status_code == 202, answer.text
    assert len(answer.content) < 200_000


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        'a"; filename="evil.exe',
        "a\r\nSet-Cookie: x=y.txt",
        "\u202egpj.txt",
        "%0d%0aX: y.txt",
        "a\x00.txt",
        "\U0001f600" * 300 + ".txt",
        "...",
        "con.txt\u0085\u2028x",
        "<img src=x onerror=alert(1)>.html",
    ],
)
async def test_a_name_is_only_a_name(library: Library, platform: Platform, name: str) -> None:
    base = await library.base()
    body = part(
        'name="files"; filename="' + name.replace('"', '\\"') + '"', f"<script>{name!a}</script> words".encode()
    )
    answer = await library.http.post(
        f"/api/v1/knowledge-bases/{base}/documents",
        content=body + _END,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    if answer.status_code != 202:
        assert 400 <= answer.status_code < 500, answer.text
        return
    document = answer.json()["items"][0]["document"]
    assert "/" not in document["name"]
    assert document["name"].isprintable() or "\u2028" in document["name"]
    got = await library.http.get(f"/api/v1/documents/{document['id']}/original")
    assert got.status_code == 200
    assert got.headers["Content-Disposition"].startswith("attachment;")
    kind, options = parse_options_header(got.headers["Content-Disposition"])
    assert kind == b"attachment"
    assert re.fullmatch(r"[ !#$&-\[\]-~]+", options[b"filename"].decode())
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in got.headers["Content-Security-Policy"]
    assert "set-cookie" not in got.headers
    assert "x" not in got.headers
