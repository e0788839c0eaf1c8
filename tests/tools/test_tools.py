"""A tenant's own tools: kept, found, checked, and not taken away from under those who use them."""

from typing import Any

import httpx
import pytest
from sqlalchemy import update

from services.agents.module import SERVICE as AGENTS
from services.workflows.module import SERVICE as WORKFLOWS
from shared.database.session import Scope
from shared.database.tables.agents import Agent
from shared.tools.catalogue import CATALOGUE
from tests.agents.conftest import Things
from tests.support.platform import Account, Platform
from tests.tools.conftest import Api, details


async def test_a_tool_is_made_read_changed_and_deleted(api: Api) -> None:
    parameters = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    config = {
        "method": "POST",
        "url": f"{api.system.url}/things/{{{{ arguments.id }}}}",
        "headers": {"X-Thing": "{{ arguments.id }}"},
        "json": {"id": "{{ arguments.id }}", "fixed": [1, None, True]},
        "result": "json",
    }
    made = await api.tool(parameters=parameters, effect="idempotent", needs_approval=True, config=config)
    assert made["kind"] == "http"
    assert made["version"] == 1
    assert {name: made["config"][name] for name in config} == config
    assert (await api.call("GET", f"/tools/{made['id']}")).json() == made

    changed = await api.call("PUT", f"/tools/{made['id']}", json=api.tool_body(name="peek", description="Peeks."))
    assert changed.status_code == 200, changed.text
    assert changed.json()["version"] == 2
    assert changed.json()["name"] == "peek"
    assert changed.json()["config"]["json"] is None
    assert changed.json()["needs_approval"] is False

    assert (await api.call("DELETE", f"/tools/{made['id']}")).status_code == 204
    for method in ("GET", "DELETE"):
        gone = await api.call(method, f"/tools/{made['id']}")
        assert gone.json()["error"]["code"] == "tool_not_found"
    assert (await api.call("PUT", f"/tools/{made['id']}", json=api.tool_body())).status_code == 404


async def test_own_tools_and_those_of_the_product_are_one_list(api: Api) -> None:
    for name in ("aim", "zoom", "look"):
        await api.tool(name=name, effect="once" if name == "zoom" else "read")
    names = sorted(["aim", "zoom", "look", *CATALOGUE])

    async def listed(**query: Any) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            params = {"limit": 2, **query, **({"cursor": cursor} if cursor else {})}
            answer = await api.call("GET", "/tools", params=params)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["items"]) <= 2
            found += [item["name"] for item in answer.json()["items"]]
            cursor = answer.json()["next_cursor"]
            if cursor is None:
                return found

    assert await listed() == names
    assert await listed(sort="-name") == names[::-1]
    assert await listed(kind="http") == ["aim", "look", "zoom"]
    assert await listed(kind="builtin") == sorted(CATALOGUE)
    assert await listed(effect="once") == ["zoom"]
    assert await listed(q="ARITHMETIC") == ["calculator"]
    assert await listed(q="zoo") == ["zoom"]
    builtin = (await api.call("GET", "/tools", params={"q": "arithmetic"})).json()["items"][0]
    assert (builtin["id"], builtin["kind"], builtin["config"]) == (None, "builtin", None)
    assert (await api.call("GET", "/tools", params={"cursor": "nonsense"})).status_code == 422


@pytest.mark.parametrize("name", ["calculator", "knowledge_search", "delegate_work_to_coworker", "look"])
async def test_names_are_unique_and_those_of_the_product_are_taken(api: Api, name: str) -> None:
    await api.tool()
    answer = await api.call("POST", "/tools", json=api.tool_body(name=name))
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "tool_name_taken"
    other = await api.tool(name="other")
    assert (await api.call("PUT", f"/tools/{other['id']}", json=api.tool_body(name=name))).status_code == 409


OBJECT = {"type": "object", "properties": {"id": {"type": "string"}}}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Look"}, "name"),
        ({"name": "1look"}, "name"),
        ({"name": "look!"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"description": ""}, "description"),
        ({"effect": "twice"}, "effect"),
        ({"kind": "builtin"}, "kind"),
        ({"tenant_id": "x"}, "tenant_id"),
        ({"parameters": {"type": "array"}}, "parameters.type"),
        ({"parameters": {"type": "object", "properties": {"a": {"type": "what"}}}}, "parameters"),
        ({"parameters": {"type": "object", "properties": {"a": {"pattern": "("}}}}, "parameters"),
        ({"parameters": {"type": "object", "title": "\x00"}}, "parameters"),
        ({"config": {"url": "{{ arguments.id"}}, "config.url"),
        ({"config": {"url": "https://x.example/{{ inputs.id }}"}}, "config.url"),
        ({"config": {"url": "https://x.example/{{ arguments.no }}"}}, "config.url"),
        ({"config": {"url": "file:///etc/passwd"}}, "config.url"),
        ({"config": {"url": "https://10.0.0.1/x"}}, "config.url"),
        ({"config": {"url": "http://127.0.0.1:1/{{ arguments.id }}"}}, "config.url"),
        ({"config": {"url": "https://user:word@x.example/"}}, "config.url"),
        ({"config": {"headers": {"Authorization": "Bearer x"}}}, "config.headers.Authorization"),
        ({"config": {"headers": {"cookie": "a=b"}}}, "config.headers.cookie"),
        ({"config": {"headers": {"Host": "other"}}}, "config.headers.Host.[key]"),
        ({"config": {"headers": {"Idempotency-Key": "x"}}}, "config.headers.Idempotency-Key.[key]"),
        ({"config": {"headers": {"a b": "x"}}}, "config.headers.a b.[key]"),
        ({"config": {"query": {"q": "{{ 1 + }}"}}}, "config.query.q"),
        ({"config": {"method": "POST", "json": {"a": ["{{ nodes.x }}"]}}}, "config.json.a.0"),
        ({"config": {"method": "POST", "json": "\x00"}}, "config"),
        ({"config": {"method": "POST", "json": 1, "body": "x"}}, "config"),
        ({"config": {"body": "x"}}, "config"),
        ({"config": {"timeout_ms": 10**7}}, "config.timeout_ms"),
        ({"config": {"max_bytes": 10**9}}, "config.max_bytes"),
        ({"config": {"shell": "rm"}}, "config.shell"),
        ({"config": {"connection_id": "01890000-0000-7000-8000-00000000d001"}}, "config.connection_id"),
    ],
)
async def test_what_cannot_be_used_is_refused_with_its_place(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = await api.call("POST", "/tools", json=api.tool_body(**{"parameters": OBJECT, **changes}))
    assert answer.status_code == 422, answer.text
    assert field in details(answer)


async def test_a_connection_must_be_for_where_the_url_leads(api: Api) -> None:
    connection = await api.connection(host="api.example.com")
    body = api.tool_body(config={"connection_id": connection["id"]})
    assert details(await api.call("POST", "/tools", json=body)) == {"config.connection_id": "connection_bound"}
    for url, status in (("https://api.example.com/x", 201), ("https://api.example.com:8443/x", 422)):
        body = api.tool_body(name=f"t{status}", config={"connection_id": connection["id"], "url": url})
        assert (await api.call("POST", "/tools", json=body)).status_code == status


async def _agent(platform: Platform, things: Things, account: Account, **fields: Any) -> httpx.Response:
    client = await platform.client(AGENTS, account)
    body = {"name": "Ann", "role": "r", "goal": "g", "model_id": str(await things.model(account)), **fields}
    return await client.post("/api/v1/agents", json=body)


async def test_a_tool_in_use_stays_and_keeps_its_name(api: Api, platform: Platform) -> None:
    tool = await api.tool()
    agent = (await _agent(platform, Things(platform), api.account, tools=["look"])).json()
    node = {"id": "t", "type": "tool", "config": {"tool": "look"}}
    body = {"nodes": [{"id": "x", "type": "transform", "config": {"expression": "1"}}, node], "edges": []}
    looping = {"id": "m", "type": "map", "config": {"items": "[1]", "body": {"nodes": [node], "edges": []}}}
    workflows = await platform.client(WORKFLOWS, api.account)
    ids: list[str] = []
    for graph in (body, {"nodes": [looping], "edges": []}):
        made = await workflows.post("/api/v1/workflows", json={"name": "Flow", "graph": {"spec": 1, **graph}})
        ids.append(made.json()["id"])

    for refused in (
        await api.call("DELETE", f"/tools/{tool['id']}"),
        await api.call("PUT", f"/tools/{tool['id']}", json=api.tool_body(name="peek")),
    ):
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "tool_in_use"
        assert details(refused).keys() == {f"agents.{agent['id']}", *(f"workflows.{id_}" for id_ in ids)}
    assert (await api.call("PUT", f"/tools/{tool['id']}", json=api.tool_body(description="More."))).status_code == 200


async def test_agents_and_graphs_name_only_tools_that_are_there(api: Api, platform: Platform, bob: Account) -> None:
    await api.tool()
    things = Things(platform)
    assert (await _agent(platform, things, api.account, tools=["look"])).status_code == 201
    theirs = await _agent(platform, things, bob, tools=["look"])
    assert details(theirs) == {"tools.0": "tool_unknown"}

    workflows = await platform.client(WORKFLOWS)
    graph = {
        "spec": 1,
        "nodes": [
            {"id": "a", "type": "tool", "config": {"tool": "look"}},
            {"id": "b", "type": "tool", "config": {"tool": "knowledge_search"}},
            {"id": "c", "type": "tool", "config": {"tool": "calculator", "arguments": {"expression": "'1'"}}},
            {
                "id": "d",
                "type": "http",
                "config": {"url": "https://x.example/", "connection_id": "01890000-0000-7000-8000-00000000d001"},
            },
        ],
        "edges": [],
    }
    for account, expected in (
        (api.account, {("b", "tool", "tool_unknown"), ("d", "connection_id", "connection_unknown")}),
        (
            bob,
            {
                ("a", "tool", "tool_unknown"),
                ("b", "tool", "tool_unknown"),
                ("d", "connection_id", "connection_unknown"),
            },
        ),
    ):
        made = await workflows.post("/api/v1/workflows", json={"name": "Flow", "graph": graph}, headers=account.headers)
        problems = {(p["node"], p["field"], p["code"]) for p in made.json()["problems"] if p["severity"] == "error"}
        assert problems == expected


async def test_an_agent_whose_tool_is_gone_cannot_run(api: Api, platform: Platform) -> None:
    """Nobody can take it away through the API; a graph must still not start with less than it says."""
    things = Things(platform)
    agent = (await _agent(platform, things, api.account, tools=["calculator"])).json()["id"]
    async with platform.resources.database.write(Scope(api.account.tenant_id)) as session:
        await session.execute(update(Agent).where(Agent.id == agent).values(tools=["gone"]))
    workflows = await platform.client(WORKFLOWS, api.account)
    config = {"agent_id": agent, "description": "d", "expected_output": "e"}
    graph = {"spec": 1, "nodes": [{"id": "n", "type": "agent_task", "config": config}], "edges": []}
    made = await workflows.post("/api/v1/workflows", json={"name": "Flow", "graph": graph})
    [problem] = made.json()["problems"]
    assert (problem["node"], problem["field"], problem["code"]) == ("n", "agent_id", "tool_missing")
    assert "gone" in problem["message"]


async def test_nobody_sees_or_changes_the_tools_of_another_tenant(api: Api, bob: Account) -> None:
    tool = await api.tool()
    theirs = api.as_(bob)
    assert (await theirs.call("GET", "/tools", params={"kind": "http"})).json()["items"] == []
    for method, path, body in (
        ("GET", f"/tools/{tool['id']}", None),
        ("PUT", f"/tools/{tool['id']}", api.tool_body()),
        ("DELETE", f"/tools/{tool['id']}", None),
        ("POST", f"/tools/{tool['id']}/try", {"arguments": {}}),
    ):
        answer = await theirs.call(method, path, **({"json": body} if body else {}))
        assert answer.status_code == 404, (method, answer.text)
    assert (await theirs.tool())["name"] == "look", "names are each tenant's own"
    connection = await api.connection()
    body = api.tool_body(name="steal", config={"connection_id": connection["id"]})
    assert details(await theirs.call("POST", "/tools", json=body)) == {"config.connection_id": "connection_unknown"}
    assert api.system.journal() == []


async def test_what_each_role_may_do(api: Api, platform: Platform) -> None:
    tool = await api.tool()
    viewer, editor = await platform.join(api.account, "viewer"), await platform.join(api.account, "editor")
    for account, made, tried, connected in ((viewer, 403, 403, 403), (editor, 201, 200, 403)):
        as_ = api.as_(account)
        assert (await as_.call("GET", f"/tools/{tool['id']}")).status_code == 200
        assert (await as_.call("POST", "/tools", json=api.tool_body(name="mine"))).status_code == made
        assert (await as_.call("POST", f"/tools/{tool['id']}/try", json={})).status_code == tried
        assert (await as_.call("POST", "/connections", json=api.connection_body())).status_code == connected
        assert (await as_.call("GET", "/connections")).status_code == 200
