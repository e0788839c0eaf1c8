"""Budgets on the whole product: what a looping agent may spend, and what a person may add."""

import asyncio
import time
from typing import Any

import pytest

from shared.kit.json import JsonObject
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client

pytestmark = pytest.mark.e2e

LOOPING = {
    "role": "Circler",
    "has_tools": True,
    "tool_calls": [{"name": "calculator", "arguments": {"expression": "1 + 1"}}],
}


async def circler(ada: Client, provider: FakeModelServer, turns: int | None = None) -> str:
    """A workflow whose agent asks for a tool `turns` times, or without end."""
    provider.script({**LOOPING, "times": turns})
    agent = await ada.agent("Circler", tools=["calculator"], max_iterations=60)
    config = {"agent_id": agent, "description": "Go in circles.", "expected_output": "Text."}
    node = {"id": "circle", "type": "agent_task", "name": "Circle", "config": config}
    return await ada.workflow({"spec": 1, "inputs": {"type": "object"}, "nodes": [node], "edges": [], "outputs": {}})


async def started(ada: Client, workflow: str, **budget: Any) -> str:
    return (await ada.post(f"/workflows/{workflow}/execute", {"inputs": {}, "budget": budget}))["id"]


async def question(ada: Client) -> JsonObject:
    """The one open inbox item, once it is there."""
    deadline = time.monotonic() + 30
    while not (items := (await ada.get("/inbox", status="open"))["items"]):
        assert time.monotonic() < deadline, "nobody was asked"
        await asyncio.sleep(0.05)
    (item,) = items
    assert item["kind"] == "budget"
    return item


async def test_a_looping_agent_is_stopped_before_the_call_that_exceeds(ada: Client, provider: FakeModelServer) -> None:
    execution = await started(ada, await circler(ada, provider), calls=5)
    ended = await ada.finished(execution)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "budget_exceeded")
    assert ended["error"]["details"]["limit"] == {"calls": 5}
    assert ended["call_count"] == 5
    assert len(provider.journal()) == 3, "every other call was the tool's"


async def test_a_person_raises_the_limit_and_the_run_goes_on(ada: Client, provider: FakeModelServer) -> None:
    execution = await started(ada, await circler(ada, provider, turns=4), calls=3, on_exceeded="wait")
    item = await question(ada)
    assert item["request"]["limit"] == {"calls": 3}
    asked_so_far = len(provider.journal())
    await ada.post(f"/inbox/{item['id']}/respond", {"action": "accept", "payload": {"raise": {"calls": 50}}})
    ended = await ada.finished(execution)
    assert ended["status"] == "succeeded"
    assert asked_so_far == 2
    assert len(provider.journal()) == 5, "nothing was asked twice"


async def three_children(ada: Client, provider: FakeModelServer) -> str:
    """A workflow that starts three executions at once, each of which goes in circles."""
    below = {"workflow_id": await circler(ada, provider), "inputs": {}}
    each = {"id": "below", "type": "sub_workflow", "name": "Below", "config": below}
    config = {"items": "[1, 2, 3]", "parallelism": 3, "on_error": "continue", "body": {"nodes": [each]}}
    node = {"id": "each", "type": "map", "name": "Each", "config": config}
    return await ada.workflow({"spec": 1, "inputs": {"type": "object"}, "nodes": [node], "edges": [], "outputs": {}})


async def test_the_tenants_budget_covers_children_and_branches(ada: Client, provider: FakeModelServer) -> None:
    await ada.post("/budgets", {"name": "All", "scope": "tenant", "period": "total", "calls": 7})
    ended = await ada.finished(await ada.execute(await three_children(ada, provider), {}))
    assert [failed["error"]["code"] for failed in ended["output"]["each"]["failed"]] == ["child_failed"] * 3
    (budget,) = (await ada.get("/budgets"))["items"]
    deadline = time.monotonic() + 10
    while budget["reserved"]["calls"]:
        assert time.monotonic() < deadline, "what was reserved stays reserved"
        (budget,) = (await ada.get("/budgets"))["items"]
    assert budget["spent"]["calls"] == 7


async def test_an_executions_budget_is_shared_by_its_children(ada: Client, provider: FakeModelServer) -> None:
    execution = await started(ada, await three_children(ada, provider), calls=8)
    await ada.finished(execution)
    children = (await ada.get("/executions", parent=execution))["items"]
    assert len(children) == 3
    assert sum(child["call_count"] for child in children) == 8


async def test_its_time_is_that_in_which_it_ran(ada: Client, provider: FakeModelServer) -> None:
    workflow = await circler(ada, provider)
    provider.script({**LOOPING, "latency_ms": 300})
    ended = await ada.finished(await started(ada, workflow, time_ms=900))
    assert (ended["status"], ended["error"]["code"]) == ("failed", "budget_exceeded")
    assert ended["error"]["details"]["limit"] == {"time_ms": 900}
    assert 1 <= len(provider.journal()) <= 4
