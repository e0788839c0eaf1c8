"""Executions run again from their journal, by a real worker: nobody outside hears of it."""

from typing import Any
from uuid import uuid4

import pytest

from shared.kit.json import JsonObject
from tests.executions.support import LedgerView, owner_connection
from tests.fakes.model_server import FakeModelServer
from tests.support.platform import Platform
from tests.support.product import Client
from tests.support.running import ada, asked, calls, graph, product, provider, provider_process, refused, task

__all__ = ["ada", "product", "provider", "provider_process"]
pytestmark = pytest.mark.e2e

FAULT = {"kind": "error", "status": 400, "message": "no"}


async def replayed(client: Client, execution_id: str) -> JsonObject:
    started = await client.post(f"/executions/{execution_id}/replay")
    assert started["kind"] == "replay"
    ended = await client.finished(started["id"])
    assert ended["status"] == "succeeded", ended["error"]
    return ended["output"]


async def wide(client: Client, **more: Any) -> str:
    """A crew, an agent with a tool, a condition and what depends on them."""
    writer = await client.agent("Writer", goal="Write about {{ inputs.topic }}")
    reckoner = await client.agent("Reckoner", tools=["calculator"])
    tasks = [
        {"name": "first", "description": "First part", "expected_output": "A line.", "agent_id": writer},
        {"name": "second", "description": "Second part", "expected_output": "A line.", "agent_id": writer},
    ]
    cases = {"cases": [{"name": "long", "when": "nodes.crew.output.text.size() > 100"}], "default": "short"}
    made = graph(
        [
            {"id": "crew", "type": "crew", "config": {"agent_ids": [writer], "tasks": tasks}},
            task("sum", reckoner, "Reckon 2 + 2", **more),
            {"id": "size", "type": "condition", "config": cases},
            task("cut", writer, "Cut {{ nodes.crew.output.text }}"),
            {"id": "both", "type": "transform", "config": {"template": "{{ nodes.crew.output.text }}"}},
            {"id": "end", "type": "output", "config": {"values": {"both": "nodes.both.output"}}},
        ],
        [("crew", "size"), ("crew", "both"), ("sum", "both"), ("both", "end"), ("cut", "end")],
        "topic",
    )
    made["edges"].append({"from": "size", "to": "cut", "port": "long"})
    return await client.workflow(made)


async def test_what_ran_comes_out_the_same_and_nobody_is_asked(ada: Client, provider: FakeModelServer) -> None:
    provider.script(
        {"last": "Reckon", "tool_calls": [{"name": "calculator", "arguments": {"expression": "2 + 2"}}]},
        {"answer": "Words."},
    )
    done = await ada.finished(await ada.execute(await wide(ada), {"topic": "tides"}))
    assert done["status"] == "succeeded", done["error"]
    before = len(asked(provider))
    journal = await calls(ada, done["id"])

    report = await replayed(ada, done["id"])

    assert report == {
        "same": True,
        "steps_checked": 6,
        "calls_replayed": len(journal),
        "steps": [],
        "diverged": [],
        "end": [],
    }
    assert len(asked(provider)) == before
    assert await ada.get(f"/executions/{done['id']}") == done


async def test_failures_retries_and_cancellations_come_out_the_same(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"last": "Reckon", "fault": FAULT}, {"answer": "Words."})
    failed = await ada.finished(await ada.execute(await wide(ada), {"topic": "tides"}))
    assert failed["status"] == "failed"
    report = await replayed(ada, failed["id"])
    assert report["same"], report
    assert report["steps_checked"] >= 1

    provider.reset()
    provider.script({"last": "Reckon", "fault": {**FAULT, "status": 500}, "times": 6}, {"answer": "Words."})
    workflow = await wide(ada, retry={"max": 3, "backoff_ms": 10})
    retried = await ada.finished(await ada.execute(workflow, {"topic": "tides"}))
    assert retried["status"] == "succeeded", retried["error"]
    assert (await replayed(ada, retried["id"]))["same"]

    provider.reset()
    provider.script({"last": "Second part", "latency_ms": 60_000}, {"answer": "Words."})
    id_ = await ada.execute(await wide(ada), {"topic": "tides"})
    while not any("Second part" in each for each in asked(provider)):
        assert (await ada.get(f"/executions/{id_}"))["status"] in ("queued", "running")
    assert await refused(ada, f"/executions/{id_}/replay") == (409, "execution_not_ended")
    await ada.post(f"/executions/{id_}/cancel")
    cancelled = await ada.finished(id_)
    assert cancelled["status"] == "cancelled"
    assert (await replayed(ada, id_))["same"]


async def test_retries_and_forks_come_out_the_same(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"last": "Second part", "fault": FAULT}, {"answer": "Words."})
    failed = await ada.finished(await ada.execute(await wide(ada), {"topic": "tides"}))
    provider.script({"answer": "Words."})
    retried = await ada.finished((await ada.post(f"/executions/{failed['id']}/retry"))["id"])
    assert retried["status"] == "succeeded"
    fork = {"from": {"node": "crew"}, "inputs": {"topic": "dunes"}}
    forked = await ada.finished((await ada.post(f"/executions/{retried['id']}/fork", fork))["id"])
    assert forked["status"] == "succeeded"

    for execution in (retried, forked):
        report = await replayed(ada, execution["id"])
        assert report["same"], report
        assert report["calls_replayed"] > 0


async def test_a_record_that_the_engine_would_not_write_is_told(
    ada: Client, provider: FakeModelServer, platform: Platform
) -> None:
    """As if this engine asked something else, and made something else of it, than the one that ran it."""
    provider.script({"answer": "Words."})
    workflow = await wide(ada)
    connection = await owner_connection(platform)
    view = LedgerView(connection)
    first = await ada.finished(await ada.execute(workflow, {"topic": "tides"}))
    crew = next(step for step in first["steps"] if step["node"] == "crew")
    await view.run("UPDATE calls SET request_hash = 'other' WHERE step_id = $1::text::uuid", crew["id"])
    report = await replayed(ada, first["id"])
    assert not report["same"]
    assert report["diverged"] == [{"node": "crew", "path": ""}]
    (told,) = report["steps"]
    assert (told["expected"]["status"], told["got"]["error"]["code"]) == ("succeeded", "journal_diverged")

    second = await ada.finished(await ada.execute(workflow, {"topic": "tides"}))
    await view.run(
        "UPDATE task_executions SET output = '\"other\"' WHERE node = 'both' AND execution_id = $1::text::uuid",
        second["id"],
    )
    report = await replayed(ada, second["id"])
    assert [(step["node"], step["expected"]["output"]) for step in report["steps"]] == [("both", "other")]
    assert report["diverged"] == []
    await connection.close()


async def test_who_may_ask(ada: Client) -> None:
    assert await refused(ada, f"/executions/{uuid4()}/replay") == (404, "execution_not_found")
