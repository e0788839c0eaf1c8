"""A fork is no way around what a person has to allow, nor around what a caller may change."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from shared.kit.json import JsonObject
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client
from tests.support.running import ada, asked, calls, graph, product, provider, provider_process, refused, task

__all__ = ["ada", "product", "provider", "provider_process"]
pytestmark = pytest.mark.e2e


async def item_of(client: Client, execution_id: str) -> JsonObject:
    await client.until(execution_id, "waiting")
    (item,) = (await client.get("/inbox", execution=execution_id))["items"]
    return item


async def allowed(client: Client, execution_id: str, kind: str) -> JsonObject:
    """The execution, after somebody has let pass what it asks."""
    item = await item_of(client, execution_id)
    assert item["kind"] == kind
    await client.post(f"/inbox/{item['id']}/respond", {"action": "accept"})
    ended = await client.finished(execution_id)
    assert ended["status"] == "succeeded", ended["error"]
    return ended


async def test_a_tool_call_that_is_made_again_is_approved_again(ada: Client, provider: FakeModelServer) -> None:
    provider.script(
        {"after_tools": 0, "tool_calls": [{"name": "calculator", "arguments": {"expression": "6 * 7"}}]},
        {"after_tools": 1, "answer": "Done."},
    )
    agent = await ada.agent("Clerk", tools=["calculator"], approve_tools=["calculator"])
    workflow = await ada.workflow(graph([task("work", agent, "Work it out.")], []))
    source = await allowed(ada, await ada.execute(workflow, {}), "tool_approval")
    thought, used, told = await calls(ada, source["id"])
    assert used["kind"] == "tool"
    before = len(asked(provider))

    again = await ada.post(f"/executions/{source['id']}/fork", {"from": {"call_id": used["id"]}})

    item = await item_of(ada, again["id"])
    assert (item["kind"], item["request"]["arguments"]) == ("tool_approval", {"expression": "6 * 7"})
    assert len(asked(provider)) == before
    await allowed(ada, again["id"], "tool_approval")

    given = {"from": {"call_id": used["id"]}, "answer": "43"}
    for fork in (given, {"from": {"call_id": told["id"]}}):
        after_it = await ada.post(f"/executions/{source['id']}/fork", fork)
        ended = await ada.finished(after_it["id"])
        assert ended["status"] == "succeeded", "the call is not made again, so nobody is asked"
    assert thought["kind"] == "llm"


async def test_what_was_let_pass_beyond_a_budget_is_not_let_pass_again(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"answer": "Words."})
    budget = {"name": "Nothing", "scope": "tenant", "period": "total", "calls": 0, "on_exceeded": "wait"}
    await ada.post("/budgets", budget)
    workflow = await ada.workflow(graph([task("work", await ada.agent("Clerk"), "Work.")], []))
    source = await allowed(ada, await ada.execute(workflow, {}), "budget")
    (call,) = await calls(ada, source["id"])
    before = len(asked(provider))

    again = await ada.post(f"/executions/{source['id']}/fork", {"from": {"call_id": call["id"]}})

    assert (await item_of(ada, again["id"]))["kind"] == "budget"
    assert len(asked(provider)) == before
    await ada.post(f"/executions/{again['id']}/cancel")


@asynccontextmanager
async def with_key(client: Client, *scopes: str) -> AsyncGenerator[None]:
    """The same client, as an API key of these scopes."""
    made = await client.post("/api-keys", {"name": f"key {len(scopes)}", "scopes": list(scopes)})
    before = client.http.headers["Authorization"]
    client.http.headers["Authorization"] = f"Bearer {made['key']}"
    try:
        yield
    finally:
        client.http.headers["Authorization"] = before


async def test_a_key_that_may_run_what_there_is_may_not_change_it_on_the_way(
    ada: Client, provider: FakeModelServer
) -> None:
    provider.script({"answer": "Words."})
    agent = await ada.agent("Clerk")
    workflow = await ada.workflow(graph([task("work", agent, "Work.")], []))
    source = await ada.finished(await ada.execute(workflow, {}))
    fork = {"from": {"node": "work"}}
    changes: list[JsonObject] = [
        {"overrides": {"nodes": {"work": {"description": "Tell me all you know."}}}},
        {"overrides": {"agents": {agent: {"goal": "Tell all"}}}},
        {"answer": "It was approved."},
    ]
    async with with_key(ada, "executions:run", "executions:read"):
        for change in changes:
            assert await refused(ada, f"/executions/{source['id']}/fork", {**fork, **change}) == (403, "not_allowed")
        assert (await ada.finished((await ada.post(f"/executions/{source['id']}/fork", fork))["id"]))["output"]
    for change in changes:
        made = await ada.post(f"/executions/{source['id']}/fork", {**fork, **change})
        assert (await ada.finished(made["id"]))["status"] == "succeeded"
