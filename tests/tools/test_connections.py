"""Credentials: written once, never shown, bound to a host, and not taken away from under those who use them."""

from typing import Any

import pytest

from services.workflows.module import SERVICE as WORKFLOWS
from shared.database.session import Scope
from shared.database.tables.tools import Connection
from tests.support.platform import Account, Platform
from tests.tools.conftest import SECRET, Api, details


async def test_a_connection_is_made_read_changed_and_deleted_and_its_secret_never_shown(
    api: Api, platform: Platform
) -> None:
    made = await api.connection()
    read = await api.call("GET", f"/connections/{made['id']}")
    listed = await api.call("GET", "/connections")
    changed = await api.call("PUT", f"/connections/{made['id']}", json=_without_secret(api, name="Store"))
    assert changed.status_code == 200, changed.text
    assert changed.json()["name"] == "Store"
    for answer in (read, listed, changed):
        assert "secret" not in answer.text
    async with platform.resources.database.read(Scope(api.account.tenant_id)) as session:
        row = await session.get_one(Connection, made["id"])
        assert SECRET.encode() not in row.secret

    assert (await api.call("DELETE", f"/connections/{made['id']}")).status_code == 204
    for method, options in (("GET", {}), ("DELETE", {}), ("PUT", {"json": api.connection_body()})):
        assert (await api.call(method, f"/connections/{made['id']}", **options)).status_code == 404


def _without_secret(api: Api, **changes: Any) -> dict[str, Any]:
    body = api.connection_body(**changes)
    del body["secret"]
    return body


async def test_a_secret_is_not_sent_to_another_host_by_changing_the_connection(api: Api) -> None:
    """Who may change it need not know it."""
    made = await api.connection()
    path = f"/connections/{made['id']}"
    for changes, code in (
        ({"host": "evil.example.com"}, "entered_for_another_host"),
        ({"kind": "header", "header_name": "X-Evil"}, "entered_for_another_kind"),
    ):
        assert details(await api.call("PUT", path, json=_without_secret(api, **changes))) == {"secret": code}
    moved = await api.call("PUT", path, json=api.connection_body(host="shop.example.com", secret="a new one"))
    assert moved.json()["host"] == "shop.example.com"
    assert details(await api.call("POST", "/connections", json=_without_secret(api, name="New"))) == {
        "secret": "missing"
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"host": "https://api.example.com"}, "host"),
        ({"host": "api.example.com/path"}, "host"),
        ({"host": "user@api.example.com"}, "host"),
        ({"host": "api.example.com:99999"}, "host"),
        ({"host": "*.example.com"}, "host"),
        ({"host": "\uff11\uff12\uff17.0.0.1"}, "host"),
        ({"host": "127.1"}, "host"),
        ({"kind": "oauth"}, "kind"),
        ({"kind": "header"}, None),
        ({"header_name": "X-Key"}, None),
        ({"kind": "header", "header_name": "Host"}, "header_name"),
        ({"kind": "header", "header_name": "a b"}, "header_name"),
        ({"kind": "basic", "secret": "no colon"}, None),
        ({"secret": ""}, "secret"),
        ({"secret": "two\nlines"}, "secret"),
        ({"secret": "schl\u00fcssel"}, None),
        ({"secret": "x" * 5000}, "secret"),
        ({"owner": "me"}, "owner"),
    ],
)
async def test_what_cannot_be_sent_is_refused(api: Api, changes: dict[str, Any], field: str | None) -> None:
    answer = await api.call("POST", "/connections", json=api.connection_body(**changes))
    assert answer.status_code == 422, answer.text
    assert field in details(answer)
    assert not changes.get("secret") or str(changes["secret"]) not in answer.text


async def test_names_are_unique_and_lists_have_filters_and_pages(api: Api) -> None:
    for name, host, kind in (("A", "a.example.com", "bearer"), ("B", "b.example.com", "bearer")):
        await api.connection(name=name, host=host, kind=kind)
    await api.connection(name="C", kind="header", header_name="X-Key")
    assert (await api.call("POST", "/connections", json=api.connection_body(name="A"))).json()["error"]["code"] == (
        "connection_name_taken"
    )
    for query, names in (
        ({}, ["C", "B", "A"]),
        ({"sort": "name"}, ["A", "B", "C"]),
        ({"kind": "header"}, ["C"]),
        ({"q": "b.example"}, ["B"]),
    ):
        listed = await api.call("GET", "/connections", params=query)
        assert [each["name"] for each in listed.json()["items"]] == names
    first = (await api.call("GET", "/connections", params={"sort": "name", "limit": 2})).json()
    params = {"sort": "name", "limit": 2, "cursor": first["next_cursor"]}
    assert [each["name"] for each in (await api.call("GET", "/connections", params=params)).json()["items"]] == ["C"]


async def test_a_connection_in_use_says_by_whom(api: Api, platform: Platform) -> None:
    connection = await api.connection()
    tool = await api.tool(config={"connection_id": connection["id"]})
    config = {"url": f"{api.system.url}/", "connection_id": connection["id"]}
    graph = {"spec": 1, "nodes": [{"id": "h", "type": "http", "config": config}], "edges": []}
    workflows = await platform.client(WORKFLOWS, api.account)
    workflow = (await workflows.post("/api/v1/workflows", json={"name": "Flow", "graph": graph})).json()

    refused = await api.call("DELETE", f"/connections/{connection['id']}")

    assert refused.status_code == 409
    assert details(refused).keys() == {f"tools.{tool['id']}", f"workflows.{workflow['id']}"}
    names = {each["message"] for each in refused.json()["error"]["details"]}
    assert names == {"look", "Flow"}


async def test_nobody_sees_or_changes_the_connections_of_another_tenant(api: Api, bob: Account) -> None:
    connection = await api.connection()
    theirs = api.as_(bob)
    assert (await theirs.call("GET", "/connections")).json()["items"] == []
    for method, options in (("GET", {}), ("PUT", {"json": api.connection_body()}), ("DELETE", {})):
        assert (await theirs.call(method, f"/connections/{connection['id']}", **options)).status_code == 404
