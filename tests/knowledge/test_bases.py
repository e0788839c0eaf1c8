import pytest

from tests.knowledge.support import Library
from tests.support.platform import Platform

BASES = "/api/v1/knowledge-bases"


async def test_a_knowledge_base_is_made_read_changed_listed_and_deleted(library: Library) -> None:
    base = await library.base("Handbook", description="How we work")

    changed = await library.http.put(f"{BASES}/{base}", json={"name": "Rules", "chunk_size": 100, "chunk_overlap": 10})
    assert changed.status_code == 200
    read = (await library.http.get(f"{BASES}/{base}")).json()
    assert read == changed.json()
    assert {key: read[key] for key in ("name", "description", "chunk_size", "chunk_overlap", "document_count")} == {
        "name": "Rules",
        "description": "",
        "chunk_size": 100,
        "chunk_overlap": 10,
        "document_count": 0,
    }
    assert [item["id"] for item in (await library.http.get(BASES)).json()["items"]] == [base]
    assert (await library.http.delete(f"{BASES}/{base}")).status_code == 204
    assert (await library.http.get(f"{BASES}/{base}")).status_code == 404
    assert (await library.http.delete(f"{BASES}/{base}")).status_code == 404


async def test_lists_page_and_search_by_name(library: Library) -> None:
    ids = [await library.base(f"Base {number}%") for number in range(5)]

    first = (await library.http.get(BASES, params={"limit": 3})).json()
    second = (await library.http.get(BASES, params={"limit": 3, "cursor": first["next_cursor"]})).json()

    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None
    oldest = (await library.http.get(BASES, params={"limit": 3, "sort": "created_at"})).json()
    rest = {"cursor": oldest["next_cursor"], "sort": "created_at"}
    newer = (await library.http.get(BASES, params=rest)).json()
    assert [item["id"] for item in oldest["items"] + newer["items"]] == ids
    found = (await library.http.get(BASES, params={"q": "3%"})).json()["items"]
    assert [item["name"] for item in found] == ["Base 3%"]
    assert (await library.http.get(BASES, params={"cursor": "nonsense"})).status_code == 422


async def test_a_name_is_taken_once(library: Library, other: Library) -> None:
    base = await library.base("Handbook")
    await library.base("Rules")
    await other.base("Handbook")

    again = await library.http.post(BASES, json={"name": "Handbook"})
    renamed = await library.http.put(f"{BASES}/{base}", json={"name": "Rules"})
    assert {answer.status_code for answer in (again, renamed)} == {409}
    assert again.json()["error"]["code"] == "knowledge_base_name_taken"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"name": "x", "chunk_size": 31},
        {"name": "x", "chunk_size": 1000},
        {"name": "x", "chunk_size": 40, "chunk_overlap": 30},
        {"name": "x", "chunk_overlap": -1},
        {"name": "x", "embedding_model": "mine"},
        {"name": "x", "tenant_id": "0190a3c4-0000-7000-8000-000000000000"},
    ],
)
async def test_a_bad_knowledge_base_is_refused(library: Library, body: dict[str, object]) -> None:
    answer = await library.http.post(BASES, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"chunk_size": 1000}, "chunk_size"),
        ({"chunk_size": 40, "chunk_overlap": 21}, "chunk_overlap"),
        ({"chunk_size": 40}, "chunk_overlap"),
        ({"chunk_size": 31}, "chunk_size"),
        ({"embedding_model_id": "0190a3c4-0000-7000-8000-000000000000"}, "embedding_model_id"),
        ({"summary_model_id": "0190a3c4-0000-7000-8000-000000000000"}, "summary_model_id"),
    ],
)
async def test_the_field_that_is_wrong_is_named(library: Library, body: dict[str, object], field: str) -> None:
    base = await library.base("Kept")
    for answer in (
        await library.http.post(BASES, json={"name": "New", **body}),
        await library.http.put(f"{BASES}/{base}", json={"name": "Kept", **body}),
    ):
        assert answer.status_code == 422
        assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]
    assert [item["name"] for item in (await library.http.get(BASES)).json()["items"]] == ["Kept"]


async def test_another_tenant_sees_none_of_it(library: Library, other: Library) -> None:
    base = await library.base()

    assert (await other.http.get(BASES)).json()["items"] == []
    for answer in (
        await other.http.get(f"{BASES}/{base}"),
        await other.http.put(f"{BASES}/{base}", json={"name": "Mine"}),
        await other.http.delete(f"{BASES}/{base}"),
        await other.http.get(f"{BASES}/{base}/documents"),
        await other.upload(base, ("a.txt", b"hello")),
        await other.http.post(f"{BASES}/{base}/text-content", json={"name": "a", "text": "hello"}),
        await other.http.post(f"{BASES}/query", json={"knowledge_base_ids": [base], "query": "hello"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "knowledge_base_not_found"


async def test_a_viewer_reads_and_an_editor_writes(platform: Platform, library: Library) -> None:
    base = await library.base()
    viewer = (await platform.join(library.account, "viewer")).headers
    editor = (await platform.join(library.account, "editor")).headers

    assert (await library.http.get(f"{BASES}/{base}", headers=viewer)).status_code == 200
    for answer in (
        await library.http.post(BASES, json={"name": "x"}, headers=viewer),
        await library.http.put(f"{BASES}/{base}", json={"name": "x"}, headers=viewer),
        await library.http.delete(f"{BASES}/{base}", headers=viewer),
        await library.http.post(f"{BASES}/{base}/documents", files=[("files", ("a", b"b"))], headers=viewer),
        await library.http.post(f"{BASES}/{base}/text-content", json={"name": "a", "text": "b"}, headers=viewer),
    ):
        assert answer.status_code == 403
    assert (await library.http.post(BASES, json={"name": "x"}, headers=editor)).status_code == 201
