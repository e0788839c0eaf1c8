"""What is said of documents: tags, agents, passwords, settings; lists that go by it, and changes of many at once."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.database.session import Scope
from shared.database.tables.agents import Agent
from shared.database.tables.models import Model
from shared.executions.cancel import cancel
from shared.kit.ids import new_id
from tests.knowledge.support import Library
from tests.knowledge.test_uploads import END, KIND, part
from tests.support.platform import Platform

BASES = "/api/v1/knowledge-bases"
DOCUMENTS = "/api/v1/documents"
PASSWORD = "canary-of-a-password"


async def an_agent(library: Library) -> str:
    """Put there directly: another service owns it."""
    tenant = library.account.tenant_id
    model = Model(
        id=new_id(),
        tenant_id=tenant,
        name="M",
        provider="openai_compatible",
        model="m",
        settings={},
        context_window=8000,
        supports_tools=True,
    )
    agent = Agent(
        id=new_id(), tenant_id=tenant, name="A", role="r", goal="g", model_id=model.id, tools=[], max_iterations=5,
        allow_delegation=False, suggested_prompts=[],
    )  # fmt: skip
    async with library.platform.resources.database.write(Scope(tenant, library.account.user_id)) as session:
        session.add(model)
        await session.flush()
        session.add(agent)
    return str(agent.id)


async def send(library: Library, base: str, data: dict[str, Any], *named: tuple[str, bytes]) -> httpx.Response:
    files = [("files", (name, content)) for name, content in named]
    return await library.http.post(f"{BASES}/{base}/documents", data=data, files=files)


async def test_an_upload_says_what_holds_for_all_its_files(library: Library) -> None:
    base, agent = await library.base(), await an_agent(library)
    data = {"tags": ["harbour", " tides ", "harbour"], "agent_ids": [agent], "password": PASSWORD}
    answer = await send(library, base, data, ("a.txt", b"one"), ("b.txt", b"two"))

    assert answer.status_code == 202, answer.text
    for item in answer.json()["items"]:
        document = item["document"]
        assert (document["tags"], document["agent_ids"], document["has_password"]) == (
            ["harbour", "tides"],
            [agent],
            True,
        )
        assert (document["source"], document["version"], document["searchable"]) == ("upload", 1, False)
    assert PASSWORD not in answer.text
    tables = await library.sql(
        "SELECT (SELECT string_agg(d::text, ' ') FROM documents d),"
        " (SELECT string_agg(e::text, ' ') FROM executions e),"
        " (SELECT string_agg(e::text, ' ') FROM execution_events e)"
    )
    kept = " ".join(str(value) for value in tables[0])
    assert agent in kept
    assert PASSWORD not in kept
    assert PASSWORD.encode().hex() not in kept


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"tags": ["x" * 51]}, "tags.0"),
        ({"tags": [" "]}, "tags.0"),
        ({"tags": [f"t{n}" for n in range(31)]}, "tags"),
        ({"tags": ["a\u202eb"]}, "tags.0"),
        ({"agent_ids": ["nonsense"]}, "agent_ids.0"),
        ({"agent_ids": ["0190a3f4-0000-7000-8000-000000000000"]}, "agent_ids.0"),
        ({"password": "p" * 201}, "password"),
        ({"password": "p" * 5000}, "password"),
        ({"tenant_id": "0190a3f4-0000-7000-8000-000000000000"}, "tenant_id"),
        ({"settings": "{}"}, "settings"),
    ],
)
async def test_fields_that_are_wrong_are_refused(library: Library, data: dict[str, Any], field: str) -> None:
    base = await library.base()
    answer = await send(library, base, data, ("a.txt", b"one"))
    assert answer.status_code == 422, answer.text
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]
    assert "ppp" not in answer.text
    assert await library.documents(base) == {}


async def test_fields_come_before_the_files(library: Library) -> None:
    base = await library.base()
    body = part() + part(name="tags", filename=None, content=b"late") + END
    answer = await library.http.post(f"{BASES}/{base}/documents", content=body, headers=KIND)
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "tags")


async def test_an_agent_of_another_tenant_is_none(library: Library, other: Library) -> None:
    theirs = await an_agent(other)
    base = await library.base()
    assert (await send(library, base, {"agent_ids": theirs}, ("a.txt", b"one"))).status_code == 422
    body = {"name": "t", "text": "t", "agent_ids": [theirs]}
    assert (await library.http.post(f"{BASES}/{base}/text-content", json=body)).status_code == 422
    document = await library.add(base, "words")
    answer = await library.http.patch(f"{DOCUMENTS}/{document}", json={"agent_ids": [theirs]})
    assert (answer.status_code, answer.json()["error"]["details"][0]["code"]) == (422, "agent_unknown")
    assert (await library.document(document))["agent_ids"] == []


async def test_a_change_leaves_what_it_does_not_name(library: Library) -> None:
    document = await library.add(await library.base(), "words")
    url = f"{DOCUMENTS}/{document}"
    changed = (await library.http.patch(url, json={"name": "Tides of 2026", "tags": ["b", "a"]})).json()
    assert (changed["name"], changed["tags"], changed["source"]) == ("Tides of 2026", ["b", "a"], "text")
    changed = (await library.http.patch(url, json={"tags": []})).json()
    assert (changed["name"], changed["tags"]) == ("Tides of 2026", [])
    assert (await library.http.patch(url, json={})).status_code == 200
    for wrong in (
        {"name": ""},
        {"name": None},
        {"tags": None},
        {"refresh_every_hours": 24},
        {"status": "ready"},
        {"content_hash": "0"},
    ):
        assert (await library.http.patch(url, json=wrong)).status_code == 422, wrong
    assert (await library.document(document))["name"] == "Tides of 2026"


async def test_lists_go_by_what_is_asked(library: Library) -> None:
    base = await library.base()
    await send(library, base, {"tags": ["sea", "north"]}, ("c.txt", b"1"))
    await send(library, base, {"tags": "sea"}, ("a.txt", b"2"))
    await library.add(base, "words", "b")

    async def names(**params: Any) -> list[str]:
        return list(await library.documents(base, **params))

    assert await names(tag="sea") == ["a.txt", "c.txt"]
    assert await names(tag=["sea", "north"]) == ["c.txt"]
    assert await names(tag="land") == []
    assert await names(source="text") == ["b"]
    assert await names(parent="none", sort="name") == ["a.txt", "b", "c.txt"]
    assert await names(parent="0190a3f4-0000-7000-8000-000000000000") == []
    assert await names(sort="-name") == ["c.txt", "b", "a.txt"]
    assert await names(sort="created_at") == ["c.txt", "a.txt", "b"]
    assert await names(status="pending", q="TXT") == ["a.txt", "c.txt"]
    url = f"{BASES}/{base}/documents"
    for sort in ("name", "-name", "created_at", "-created_at"):
        walked: list[str] = []
        params: dict[str, Any] = {"limit": 1, "sort": sort}
        while True:
            page = (await library.http.get(url, params=params)).json()
            walked += [item["name"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert walked == await names(sort=sort)
    for wrong in ({"sort": "size"}, {"source": "x"}, {"parent": "x"}, {"tag": "\x00"}):
        assert (await library.http.get(url, params=wrong)).status_code == 422, wrong

    summary = (await library.http.get(f"{BASES}/{base}/documents/summary")).json()
    assert summary == {
        "documents": 3,
        "searchable": 0,
        "bytes": 7,
        "by_status": {"pending": 3, "processing": 0, "ready": 0, "failed": 0},
        "tags": [{"tag": "sea", "documents": 2}, {"tag": "north", "documents": 1}],
    }


async def test_many_at_once_each_with_a_result(library: Library, other: Library, platform: Platform) -> None:
    base, elsewhere = await library.base("One"), await library.base("Two")
    first, second = await library.add(base, "1", "first"), await library.add(base, "2", "second")
    stranger = await other.add(await other.base(), "3")
    outside = await library.add(elsewhere, "4")
    url = f"{BASES}/{base}/documents/bulk"

    async def bulk(action: str, *documents: str, **fields: Any) -> list[tuple[str, str | None]]:
        body = {"action": action, "document_ids": list(documents), **fields}
        answer = await library.http.post(url, json=body)
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert [item["document_id"] for item in items] == list(documents)
        return [(item["status"], (item["error"] or {}).get("code")) for item in items]

    gone = ("refused", "document_not_found")
    assert await bulk("tag", first, stranger, second, outside, tags=["x"]) == [
        ("done", None),
        gone,
        ("done", None),
        gone,
    ]
    assert [document["tags"] for document in (await library.documents(base)).values()] == [["x"], ["x"]]
    assert await bulk("untag", first, tags=["x"]) == [("done", None)]
    assert (await library.document(first))["tags"] == []
    assert await bulk("reprocess", first) == [("refused", "document_busy")]
    many = [f"t{n}" for n in range(30)]
    assert await bulk("tag", second, first, tags=many) == [("refused", "invalid"), ("done", None)]
    assert await bulk("delete", second, stranger) == [("done", None), gone]
    assert set(await library.documents(base)) == {"first"}
    assert (await other.document(stranger))["tags"] == []
    for wrong, field in (
        ({"action": "tag", "document_ids": [first]}, "tags"),
        ({"action": "delete", "document_ids": [first], "tags": ["x"]}, "tags"),
        ({"action": "delete", "document_ids": []}, "document_ids"),
        ({"action": "drop", "document_ids": [first]}, "action"),
    ):
        refused = await library.http.post(url, json=wrong)
        assert refused.status_code == 422, wrong
        assert [detail["field"] for detail in refused.json()["error"]["details"]] == [field]
    viewer = await Library.of(platform, await platform.join(library.account, "viewer"))
    body = {"action": "delete", "document_ids": [first]}
    assert (await viewer.http.post(url, json=body)).status_code == 403
    assert (await other.http.post(url, json=body)).status_code == 404


async def test_settings_of_one_document(library: Library) -> None:
    base = await library.base(chunk_size=200, chunk_overlap=32)
    document = await library.add(base, "words")
    await cancelled(library, document)
    url = f"{DOCUMENTS}/{document}/reprocess"

    for wrong in (
        {"chunk_size": 40, "chunk_overlap": 30},
        {"chunk_size": 1},
        {"ocr_languages": "../eng"},
        {"ocr_languages": "eng; rm"},
        {"password": ""},
        {"unknown": 1},
    ):
        assert (await library.http.post(url, json=wrong)).status_code == 422, wrong
    answer = await library.http.post(url, json={"chunk_size": 64, "ocr_languages": "eng+deu", "password": PASSWORD})
    assert answer.status_code == 202, answer.text
    assert answer.json()["settings"] == {"chunk_size": 64, "chunk_overlap": None, "ocr_languages": "eng+deu"}
    assert answer.json()["has_password"] is True
    [row] = await library.sql(
        "SELECT spec, last_revision FROM executions, documents WHERE executions.id = execution_id"
    )
    assert (row.spec["version"], row.spec["revision"], row.last_revision) == (1, 2, 2)
    assert PASSWORD not in str(row.spec)

    await cancelled(library, document)
    kept = (await library.http.post(url)).json()
    assert (kept["settings"]["chunk_size"], kept["has_password"]) == (64, True)
    await cancelled(library, document)
    back = (await library.http.post(url, json={"chunk_size": None, "password": None})).json()
    assert (back["settings"]["chunk_size"], back["settings"]["ocr_languages"], back["has_password"]) == (
        None,
        "eng+deu",
        False,
    )


async def cancelled(library: Library, document: str) -> None:
    execution = UUID((await library.document(document))["execution_id"])
    async with library.platform.resources.database.write(library.scope) as session:
        await cancel(session, execution, library.platform.resources.redis)
