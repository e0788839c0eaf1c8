"""Chunks as they would be: of a text or a document, bounded, and nothing is stored."""

from typing import Any

import httpx
import pytest

from services.knowledge_base.preview import service
from tests.knowledge.support import Library

MARKDOWN = "# Ports\n\n" + "\n\n".join(
    f"Port number {n} has a harbour master who is on duty at night. Call him by radio." for n in range(40)
)


async def preview(library: Library, base: str, **body: Any) -> httpx.Response:
    return await library.http.post(f"/api/v1/knowledge-bases/{base}/chunk-preview", json=body)


pytestmark = pytest.mark.usefixtures("embeddings")


async def test_a_text_is_cut_as_an_ingestion_would(library: Library, worker: None) -> None:
    base = await library.base(chunk_size=64, chunk_overlap=16)
    answer = (await preview(library, base, text=MARKDOWN)).json()
    document = await library.ready(base, MARKDOWN, "ports")

    assert (answer["chunk_size"], answer["chunk_overlap"], answer["has_more"]) == (64, 16, False)
    assert answer["char_count"] == len(MARKDOWN)
    stored = await library.sql(
        'SELECT ordinal, text, start, "end", tokens, page, headings, part, table_header FROM chunks'
        " WHERE document_id = :id ORDER BY ordinal",
        id=document,
    )
    assert len(stored) > 10
    assert answer["chunks"] == [dict(row._mapping) for row in stored]
    assert answer["chunks"][0]["headings"] == ["Ports"]
    [[count]] = await library.sql("SELECT count(*) FROM documents")
    assert count == 1


async def test_a_document_is_cut_with_other_sizes(library: Library, worker: None) -> None:
    base = await library.base(chunk_size=200, chunk_overlap=0)
    document = await library.ready(base, MARKDOWN, "ports")
    before = await library.chunk_ids(document)
    answer = (await preview(library, base, document_id=document, chunk_size=32, chunk_overlap=4, limit=3)).json()

    assert [chunk["ordinal"] for chunk in answer["chunks"]] == [0, 1, 2]
    assert answer["has_more"]
    assert max(chunk["tokens"] for chunk in answer["chunks"]) <= 32
    assert await library.chunk_ids(document) == before


async def test_what_cannot_be_previewed(library: Library, other: Library) -> None:
    base = await library.base(chunk_size=100)
    unread = await library.add(base, "Never read: no worker runs.")
    elsewhere = await library.add(await library.base("Other"), "Elsewhere.")
    theirs = await other.add(await other.base(), "Theirs.")
    for body, status, code in (
        ({}, 422, "invalid"),
        ({"text": "x", "document_id": unread}, 422, "invalid"),
        ({"text": "x", "limit": 201}, 422, "invalid"),
        ({"text": "x", "chunk_size": 31}, 422, "invalid"),
        ({"text": "x" * 1_000_001}, 422, "invalid"),
        ({"text": "x", "chunk_size": 40, "chunk_overlap": 21}, 422, "invalid"),
        ({"document_id": unread}, 409, "document_not_read"),
        ({"document_id": elsewhere}, 404, "document_not_found"),
        ({"document_id": theirs}, 404, "document_not_found"),
    ):
        answer = await preview(library, base, **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), body
    assert (await preview(other, base, text="x")).json()["error"]["code"] == "knowledge_base_not_found"


async def test_it_is_not_asked_for_without_end(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_THROTTLE", "2/minute")
    base = await library.base()
    answers = [await preview(library, base, text="Some words.") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["error"]["code"] == "too_many_requests"
