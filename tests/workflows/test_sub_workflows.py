"""Workflows that start others: what is pinned, and what is refused, and where."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from shared.database.tables.ledger import ExecutionRow
from shared.kit.json import JsonObject
from tests.support.running import graph
from tests.workflows.conftest import TRIVIAL, Tenant, agent_graph


def starting(workflow: str, version: int | None = None, **inputs: str) -> JsonObject:
    """A graph with one node that starts this workflow."""
    config = {"workflow_id": workflow, "version": version, "inputs": inputs}
    return graph([{"id": "sub", "type": "sub_workflow", "config": config}], [], out="nodes.sub.output")


async def problems(here: Tenant, made: JsonObject) -> list[tuple[str, str, str]]:
    found = (await here.post(f"/workflows/{made['id']}/validate"))["problems"]
    return [(each["node"], each["field"], each["code"]) for each in found]


async def change(here: Tenant, made: JsonObject, graph: JsonObject) -> JsonObject:
    body = {"name": made["name"], "graph": graph, "version": made["latest_version"]}
    answer = await here.http.put(f"/api/v1/workflows/{made['id']}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def spec_of(here: Tenant, execution: JsonObject) -> JsonObject:
    async with here.platform.resources.database.read(here.scope) as session:
        return (await session.scalars(select(ExecutionRow.spec).where(ExecutionRow.id == execution["id"]))).one()


# --- what a snapshot holds --------------------------------------------------------------------------------


async def test_versions_are_pinned_when_the_execution_is_accepted(here: Tenant) -> None:
    agent = await here.agent(goal="Know {{ inputs.topic }}")
    leaf = await here.workflow(agent_graph(agent, topic={"type": "string"}), name="Leaf")
    middle = await here.workflow(starting(leaf["id"], topic="'tides'"), name="Middle")
    body = {"nodes": starting(middle["id"])["nodes"], "edges": []}
    each = {"id": "each", "type": "map", "config": {"items": "[1, 2]", "body": body}}
    top = await here.workflow(graph([each], []), name="Top")
    assert top["valid"], top["problems"]
    execution = await here.post(f"/workflows/{top['id']}/execute")
    await change(here, leaf, TRIVIAL)

    spec = await spec_of(here, execution)

    keys = {f"{leaf['id']}@1", f"{middle['id']}@1"}
    assert spec["workflows"].keys() == keys
    assert spec["graph"]["nodes"][0]["config"]["body"]["nodes"][0]["config"]["version"] == 1
    child = spec["workflows"][f"{leaf['id']}@1"]
    assert (child["workflow_name"], child["version"]) == ("Leaf", 1)
    assert child["agents"][str(agent)]["goal"] == "Know {{ inputs.topic }}", "its inputs are not known yet"
    assert spec["workflows"][f"{middle['id']}@1"]["graph"]["nodes"][0]["config"]["version"] == 1
    assert "workflows" not in child


# --- what is refused --------------------------------------------------------------------------------------


async def test_what_is_not_there_is_named_with_its_place(here: Tenant, there: Tenant) -> None:
    other = await there.workflow()
    leaf = await here.workflow()
    for graph_, place in (
        (starting(str(uuid4())), ("sub", "workflow_id", "workflow_unknown")),
        (starting(other["id"]), ("sub", "workflow_id", "workflow_unknown")),
        (starting(leaf["id"], 7), ("sub", "version", "version_unknown")),
        (starting(leaf["id"], m="1"), ("sub", "inputs.m", "input_unknown")),
    ):
        made = await here.workflow(graph_)
        assert not made["valid"]
        assert place in await problems(here, made)
        answer = await here.http.post(f"/api/v1/workflows/{made['id']}/execute", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "workflow_invalid")


async def test_inputs_that_the_workflow_needs_are_missed(here: Tenant) -> None:
    needs = {**TRIVIAL, "inputs": {"type": "object", "properties": {"n": {}}, "required": ["n"]}}
    leaf = await here.workflow(needs)
    assert await problems(here, await here.workflow(starting(leaf["id"]))) == [("sub", "inputs", "input_missing")]
    assert await problems(here, await here.workflow(starting(leaf["id"], n="1"))) == []


async def test_circles_are_refused_however_long(here: Tenant) -> None:
    first = await here.workflow(name="First")
    second = await here.workflow(starting(first["id"]), name="Second")
    third = await here.workflow(starting(second["id"]), name="Third")
    assert third["valid"]
    closed = await change(here, first, starting(third["id"]))
    assert [each["code"] for each in closed["problems"]] == ["workflow_circle"]
    assert "First -> Third -> Second -> First" in closed["problems"][0]["message"]
    itself = await change(here, second, starting(second["id"]))
    assert [(each["node"], each["code"]) for each in itself["problems"]] == [("sub", "workflow_circle")]
    answer = await here.http.post(f"/api/v1/workflows/{third['id']}/execute", json={})
    assert answer.json()["error"]["code"] == "workflow_invalid"


async def test_nesting_ends_at_five(here: Tenant) -> None:
    made = await here.workflow(name="0")
    for level in range(1, 7):
        made = await here.workflow(starting(made["id"]), name=str(level))
        assert made["valid"] == (level <= 5), (level, made["problems"])
    assert [each["code"] for each in made["problems"]] == ["workflow_too_deep"]


async def test_many_ways_to_the_same_workflow_are_looked_at_once(here: Tenant) -> None:
    """Five levels of twenty nodes each would be three million ways."""
    made = await here.workflow()
    for _ in range(5):
        config = {"workflow_id": made["id"]}
        nodes = [{"id": f"n{number}", "type": "sub_workflow", "config": config} for number in range(20)]
        made = await here.workflow(graph(nodes, []))
        assert [each for each in made["problems"] if each["severity"] == "error"] == []
    spec = await spec_of(here, await here.post(f"/workflows/{made['id']}/execute"))
    assert len(spec["workflows"]) == 5


async def test_a_fault_below_is_told_at_the_node_that_leads_there(here: Tenant) -> None:
    broken = await here.workflow(agent_graph(uuid4()), name="Broken")
    middle = await here.workflow(starting(broken["id"]), name="Middle")
    top = await here.workflow(starting(middle["id"]), name="Top")
    (problem,) = top["problems"][:1]
    assert (problem["node"], problem["field"], problem["code"]) == ("sub", "workflow_id", "workflow_invalid")
    assert "in workflow 'Middle'" in problem["message"]
    assert "Broken" in problem["message"]


@pytest.mark.parametrize("body", [5, {"nodes": [5]}, {"nodes": [{"id": "x"}]}, {"nodes": "x"}, {}])
async def test_a_body_that_is_none_is_kept_and_told(here: Tenant, body: Any) -> None:
    each = {"id": "each", "type": "map", "config": {"items": "[1]", "body": body}}
    made = await here.workflow(graph([each], []))
    assert not made["valid"]


async def test_a_workflow_that_others_start_stays(here: Tenant) -> None:
    leaf = await here.workflow(TRIVIAL, name="Leaf")
    body = {"nodes": starting(leaf["id"])["nodes"], "edges": []}
    each = {"id": "each", "type": "map", "config": {"items": "[1]", "body": body}}
    top = await here.workflow(graph([each], []), name="Top")
    refused = await here.http.delete(f"/api/v1/workflows/{leaf['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "workflow_in_use")
    assert [each["field"] for each in refused.json()["error"]["details"]] == [f"workflows.{top['id']}"]
    assert (await here.http.delete(f"/api/v1/workflows/{top['id']}")).status_code == 204
    assert (await here.http.delete(f"/api/v1/workflows/{leaf['id']}")).status_code == 204
