"""Workflows and their versions, through HTTP."""

import asyncio
import json
from typing import Any

import pytest

from shared.kit.ids import new_id
from tests.support.platform import Platform
from tests.workflows.conftest import TRIVIAL, Tenant, agent_graph

UNKNOWN = str(new_id())


def transform(expression: str) -> dict[str, Any]:
    nodes = [{"id": "twice", "type": "transform", "config": {"expression": expression}}]
    return {**TRIVIAL, "nodes": nodes}


async def test_a_workflow_is_made_read_changed_and_deleted(here: Tenant) -> None:
    made = await here.post("/workflows", {"name": "  W ", "description": "d", "graph": TRIVIAL})
    assert (made["name"], made["description"], made["version"], made["latest_version"]) == ("W", "d", 1, 1)
    assert (made["valid"], made["problems"]) == (True, [])
    assert made["created_by"] == str(here.account.user_id)

    read = await here.http.get(f"/api/v1/workflows/{made['id']}")
    assert read.headers["etag"] == '"1"'
    assert read.json() == {name: value for name, value in made.items() if name not in ("valid", "problems")}

    changed = await here.http.put(
        f"/api/v1/workflows/{made['id']}", json={"name": "X", "graph": transform("inputs.n"), "version": 1, "note": "n"}
    )
    assert changed.status_code == 200
    assert changed.headers["etag"] == '"2"'
    assert (changed.json()["name"], changed.json()["version"], changed.json()["description"]) == ("X", 2, "")
    first = await here.get(f"/workflows/{made['id']}", version=1)
    assert first["graph"]["nodes"][0]["config"] == TRIVIAL["nodes"][0]["config"]
    assert (first["version"], first["latest_version"]) == (1, 2)

    gone = await here.http.delete(f"/api/v1/workflows/{made['id']}")
    assert gone.status_code == 204
    assert (await here.http.get(f"/api/v1/workflows/{made['id']}")).status_code == 404


async def test_a_version_is_made_only_by_a_changed_graph(here: Tenant) -> None:
    made = await here.workflow()
    body = {"name": "Renamed", "graph": made["graph"], "version": 1}
    renamed = (await here.http.put(f"/api/v1/workflows/{made['id']}", json=body)).json()
    assert (renamed["name"], renamed["version"]) == ("Renamed", 1)
    assert renamed["updated_at"] > made["updated_at"]


async def test_the_list_pages_sorts_and_searches(here: Tenant) -> None:
    for name in ("b", "A%", "c", "a", "B"):
        await here.workflow(name=name)

    async def names(**params: Any) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await here.get("/workflows", limit=2, **params, **({"cursor": cursor} if cursor else {}))
            found += [item["name"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    assert await names() == ["B", "a", "c", "A%", "b"]
    assert await names(sort="created_at") == ["b", "A%", "c", "a", "B"]
    by_name = [item["name"] for item in (await here.get("/workflows", sort="name"))["items"]]
    assert await names(sort="name") == by_name
    assert by_name.index("A%") < by_name.index("b") < by_name.index("c")
    assert await names(q="%") == ["A%"]
    assert sorted(await names(q="B")) == ["B", "b"]


async def test_of_many_who_save_at_once_one_wins(here: Tenant) -> None:
    made = await here.workflow()
    answers = await asyncio.gather(
        *(
            here.http.put(
                f"/api/v1/workflows/{made['id']}", json={"name": "W", "graph": transform(f"{i}"), "version": 1}
            )
            for i in range(20)
        )
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [409] * 19
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"version_conflict"}
    versions = (await here.get(f"/workflows/{made['id']}/versions"))["items"]
    assert [version["version"] for version in versions] == [2, 1]


async def test_if_match_says_the_version_too(here: Tenant) -> None:
    made = await here.workflow()
    path = f"/api/v1/workflows/{made['id']}"
    body = {"name": "W", "graph": transform("1")}
    assert (await here.http.put(path, json=body)).json()["error"]["code"] == "version_missing"
    assert (await here.http.put(path, json=body, headers={"If-Match": '"1"'})).status_code == 200
    assert (await here.http.put(path, json=body, headers={"If-Match": 'W/"1"'})).status_code == 409
    assert (await here.http.put(path, json=body, headers={"If-Match": "*"})).status_code == 422


async def test_an_earlier_version_is_restored_as_the_next_one(here: Tenant) -> None:
    made = await here.workflow()
    path = f"/workflows/{made['id']}"
    await here.http.put(f"/api/v1{path}", json={"name": "W", "graph": transform("1"), "version": 1})
    restored = await here.post(f"{path}/versions/1/restore")
    assert (restored["version"], restored["graph"]) == (3, made["graph"])
    first = await here.get(f"{path}/versions", limit=2)
    assert [(v["version"], v["note"]) for v in first["items"]] == [(3, "Restored version 1."), (2, "")]
    second = await here.get(f"{path}/versions", cursor=first["next_cursor"])
    assert ([v["version"] for v in second["items"]], second["next_cursor"]) == ([1], None)
    assert (await here.http.post(f"/api/v1{path}/versions/9/restore")).json()["error"]["code"] == "version_not_found"


async def test_a_clone_goes_its_own_way(here: Tenant) -> None:
    made = await here.workflow(name="W")
    clone = await here.post(f"/workflows/{made['id']}/clone")
    assert (clone["name"], clone["graph"], clone["version"]) == ("W (copy)", made["graph"], 1)
    named = await here.post(f"/workflows/{made['id']}/clone", {"name": "Mine"})
    assert named["name"] == "Mine"
    await here.http.delete(f"/api/v1/workflows/{made['id']}")
    assert (await here.get(f"/workflows/{clone['id']}"))["graph"] == made["graph"]


async def test_problems_are_kept_and_told_with_node_and_field(here: Tenant) -> None:
    made = await here.workflow(agent_graph(new_id()))
    assert not made["valid"]
    assert [(p["severity"], p["code"], p["node"], p["field"]) for p in made["problems"]] == [
        ("error", "agent_unknown", "work", "agent_id")
    ]
    checked = await here.post(f"/workflows/{made['id']}/validate")
    assert checked == {"valid": False, "problems": made["problems"]}
    agent = await here.agent()
    draft = await here.post(f"/workflows/{made['id']}/validate", {"graph": agent_graph(agent)})
    assert draft == {"valid": True, "problems": []}
    assert (await here.get(f"/workflows/{made['id']}"))["version"] == 1


async def test_texts_of_agents_must_fit_the_inputs(here: Tenant) -> None:
    agent = await here.agent(goal="Know {{ inputs.topic }}", backstory="{{ nodes.x.output }} {{ oops")
    made = await here.workflow(agent_graph(agent))
    messages = [(p["code"], p["node"], p["field"], p["message"]) for p in made["problems"]]
    assert [each[:3] for each in messages] == [("agent_text_invalid", "work", "agent_id")] * 2
    assert "goal of agent 'writer' asks for the input 'topic'" in messages[0][3]
    assert "backstory of agent 'writer' cannot be read" in messages[1][3]


async def test_what_is_no_graph_is_refused(here: Tenant) -> None:
    for graph, field in (
        ({}, "graph.nodes"),
        ({**TRIVIAL, "spec": 2}, "graph.spec"),
        ({**TRIVIAL, "nodes": [{"id": "a b", "type": "x"}]}, "graph.nodes.a b.id"),
        ({**TRIVIAL, "surprise": 1}, "graph.surprise"),
        ({**TRIVIAL, "edges": [{"from": "twice"}]}, "graph.edges.0.to"),
    ):
        answer = await here.http.post("/api/v1/workflows", json={"name": "W", "graph": graph})
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert error["code"] == "graph_invalid"
        assert error["details"][0]["field"] == field
    assert (await here.get("/workflows"))["items"] == []


NESTED: Any = 1
for _ in range(300):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", None),
        ("POST", "", {"graph": TRIVIAL}),
        ("POST", "", {"name": "", "graph": TRIVIAL}),
        ("POST", "", {"name": "n" * 201, "graph": TRIVIAL}),
        ("POST", "", {"name": "n\x00", "graph": TRIVIAL}),
        ("POST", "", {"name": "W", "graph": TRIVIAL, "tenant_id": UNKNOWN}),
        ("POST", "", {"name": "W", "graph": TRIVIAL, "created_by": UNKNOWN}),
        ("POST", "", {"name": "W", "graph": []}),
        ("POST", "", {"name": "W", "graph": {**TRIVIAL, "inputs": {"x": "\x00"}}}),
        ("POST", "", {"name": "W", "graph": {**TRIVIAL, "inputs": {"x": "\ud800"}}}),
        ("POST", "", {"name": "W", "graph": {**TRIVIAL, "inputs": {"x": 2**70}}}),
        ("POST", "", {"name": "W", "graph": {**TRIVIAL, "inputs": {"x": NESTED}}}),
        ("POST", "", {"name": "W", "graph": {**TRIVIAL, "inputs": {"x": "y" * 1_100_000}}}),
        ("PUT", "/{id}", {"name": "W", "graph": TRIVIAL, "version": 0}),
        ("PUT", "/{id}", {"name": "W", "graph": TRIVIAL, "version": 2**40}),
        ("PUT", "/{id}", {"name": "W", "version": 1}),
        ("GET", "/nonsense", None),
        ("GET", "/{id}?version=0", None),
        ("GET", "/{id}?version=99999999999", None),
        ("GET", "?limit=0", None),
        ("GET", "?sort=rank", None),
        ("GET", "?cursor=!!!", None),
        ("GET", "?cursor=WyJcdTAwMDAiLCIwMTkwMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiXQ&sort=name", None),
        ("GET", "?q=%00", None),
        ("GET", "/{id}/versions?cursor=WyI5OTk5OTk5OTk5OSJd", None),
        ("POST", "/{id}/versions/0/restore", None),
        ("POST", "/{id}/versions/99999999999/restore", None),
        ("POST", "/{id}/validate", {"graph": 5}),
        ("POST", "/{id}/clone", {"name": ""}),
        ("POST", "/{id}/clone", {"owner": "me"}),
        ("POST", "/{id}/execute", {"inputs": []}),
        ("POST", "/{id}/execute", {"version": -1}),
        ("POST", "/{id}/execute", {"priority": 11}),
        ("POST", "/{id}/execute", {"inputs": {"n": "many"}}),
        ("GET", "/{id}/export?format=pdf", None),
    ],
)
async def test_bad_input_is_refused(here: Tenant, method: str, path: str, body: Any) -> None:
    made = await here.workflow()
    answer = await here.http.request(
        method, "/api/v1/workflows" + path.replace("{id}", made["id"]), content=_json(body), headers=JSON
    )
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "correlation_id"}


JSON = {"Content-Type": "application/json"}


def _json(body: Any) -> bytes | None:
    """With escapes, so that what no UTF-8 could carry gets there."""
    return None if body is None else json.dumps(body).encode()


EVERY_ROUTE = [
    ("GET", "/workflows/{id}", None),
    ("PUT", "/workflows/{id}", {"name": "W", "graph": TRIVIAL, "version": 1}),
    ("DELETE", "/workflows/{id}", None),
    ("GET", "/workflows/{id}/versions", None),
    ("POST", "/workflows/{id}/versions/1/restore", None),
    ("POST", "/workflows/{id}/validate", None),
    ("POST", "/workflows/{id}/clone", None),
    ("GET", "/workflows/{id}/export", None),
    ("POST", "/workflows/{id}/execute", {}),
    ("GET", "/workflows/{id}/status", None),
]


@pytest.mark.parametrize(("method", "path", "body"), EVERY_ROUTE)
async def test_another_tenants_workflow_is_not_there(
    here: Tenant, there: Tenant, method: str, path: str, body: Any
) -> None:
    made = await here.workflow()
    for unseen in (made["id"], UNKNOWN):
        answer = await there.http.request(method, "/api/v1" + path.replace("{id}", unseen), json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "workflow_not_found")
    assert (await there.get("/workflows"))["items"] == []
    assert (await here.get(f"/workflows/{made['id']}"))["version"] == 1


async def test_another_tenants_agent_cannot_be_used(here: Tenant, there: Tenant) -> None:
    made = await here.workflow(agent_graph(await there.agent()))
    assert [problem["code"] for problem in made["problems"]] == ["agent_unknown"]


CHANGES = [
    ("POST", "/workflows", {"name": "W", "graph": TRIVIAL}),
    ("POST", "/workflows/import", {"files": {"crew.jsonc": "{}"}}),
    *(each for each in EVERY_ROUTE if each[0] != "GET" and not each[1].endswith("validate")),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_viewer_changes_nothing(platform: Platform, here: Tenant, method: str, path: str, body: Any) -> None:
    made = await here.workflow()
    viewer = await platform.join(here.account, "viewer")
    full = "/api/v1" + path.replace("{id}", made["id"])
    answer = await here.http.request(method, full, json=body, headers=viewer.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")
    assert [item["name"] for item in (await here.get("/workflows"))["items"]] == ["W"]


async def test_a_viewer_reads_and_an_editor_works(platform: Platform, here: Tenant) -> None:
    made = await here.workflow()
    viewer = await platform.join(here.account, "viewer")
    editor = await platform.join(here.account, "editor")
    for method, path, body in EVERY_ROUTE:
        full = "/api/v1" + path.replace("{id}", made["id"])
        if method == "GET" or path.endswith("validate"):
            assert (await here.http.request(method, full, json=body, headers=viewer.headers)).is_success
        elif method != "DELETE":
            assert (await here.http.request(method, full, json=body, headers=editor.headers)).is_success


@pytest.mark.parametrize(("method", "path", "body"), [*EVERY_ROUTE, *CHANGES, ("GET", "/workflows", None)])
async def test_nobody_gets_in_without_signing_in(
    platform: Platform, here: Tenant, method: str, path: str, body: Any
) -> None:
    made = await here.workflow()
    full = "/api/v1" + path.replace("{id}", made["id"])
    answer = await here.http.request(method, full, json=body, headers={"Authorization": ""})
    assert answer.status_code == 401
