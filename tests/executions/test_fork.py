"""Executions made of others, run by a real worker. What was paid for, the provider says by its own journal."""

from typing import Any
from uuid import uuid4

import pytest

from shared.kit.json import JsonObject
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client
from tests.support.running import ada, asked, calls, graph, product, provider, provider_process, refused, task

__all__ = ["ada", "product", "provider", "provider_process"]
pytestmark = pytest.mark.e2e

FAULT = {"kind": "error", "status": 400, "message": "no"}


async def chain(client: Client, *, crew: bool = False) -> str:
    """Three steps, one after the other: the middle one is a crew of two tasks if `crew`."""
    agent = await client.agent("Writer", goal="Write about {{ inputs.topic }}")
    middle = task("draft", agent, "Draft on {{ nodes.plan.output.text }}")
    if crew:
        tasks = [
            {"name": "first", "description": "First part", "expected_output": "A line.", "agent_id": agent},
            {"name": "second", "description": "Second part", "expected_output": "A line.", "agent_id": agent},
        ]
        middle = {"id": "draft", "type": "crew", "config": {"agent_ids": [agent], "tasks": tasks}}
    return await client.workflow(
        graph(
            [
                task("plan", agent, "Plan for {{ inputs.topic }}"),
                middle,
                task("review", agent, "Review {{ nodes.draft.output.text }}"),
            ],
            [("plan", "draft"), ("draft", "review")],
            "topic",
            text="nodes.review.output.text",
        )
    )


async def run(client: Client, workflow: str, **inputs: Any) -> JsonObject:
    return await client.finished(await client.execute(workflow, inputs or {"topic": "tides"}))


async def derive(client: Client, execution: JsonObject, how: str, body: Any = None) -> JsonObject:
    made = await client.post(f"/executions/{execution['id']}/{how}", body)
    assert made["id"] != execution["id"]
    assert (made["origin"], made["origin_id"]) == (how, execution["id"])
    return await client.finished(made["id"])


def by_node(execution: JsonObject) -> dict[str, JsonObject]:
    return {step["node"]: step for step in execution["steps"]}


# --- retry ------------------------------------------------------------------------------------------------


async def test_a_retry_goes_on_after_what_succeeded(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada, crew=True)
    provider.script(
        {"last": "Plan for", "answer": "The plan."},
        {"last": "First part", "answer": "Part one."},
        {"last": "Second part", "fault": FAULT},
    )
    failed = await run(ada, workflow)
    assert failed["status"] == "failed"
    before = asked(provider)
    assert len(before) == 3
    provider.script(
        {"last": "Second part", "answer": "Part two."},
        {"last": "Review", "answer": "Fine."},
    )

    retried = await derive(ada, failed, "retry")

    assert (retried["status"], retried["output"]) == ("succeeded", {"text": "Fine."})
    paid = asked(provider)[len(before) :]
    assert ["Second part" in each for each in paid] == [True, False], paid
    assert "Review" in paid[1]
    journal = await calls(ada, retried["id"])
    assert [(call["copied"], call["input_tokens"] == 0) for call in journal] == [(True, True)] * 2 + [
        (False, False)
    ] * 2
    assert retried["call_count"] == 2
    spent = sum(call["input_tokens"] for call in journal)
    assert retried["input_tokens"] == spent > 0
    assert [step["status"] for step in retried["steps"]] == ["succeeded"] * 3
    assert by_node(retried)["plan"]["started_at"] == by_node(failed)["plan"]["started_at"]
    assert by_node(retried)["draft"]["attempt"] == 1


async def test_a_cancelled_execution_goes_on(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"last": "Draft on", "latency_ms": 60_000}, {"answer": "Words."})
    id_ = await ada.execute(workflow, {"topic": "tides"})
    while not any("Draft on" in each for each in asked(provider)):
        assert (await ada.get(f"/executions/{id_}"))["status"] in ("queued", "running")
    await ada.post(f"/executions/{id_}/cancel")
    cancelled = await ada.finished(id_)
    provider.script({"answer": "Words."})
    before = len(asked(provider))

    retried = await derive(ada, cancelled, "retry")

    assert retried["status"] == "succeeded"
    assert len(asked(provider)) == before + 2


async def test_what_succeeded_or_runs_is_not_retried(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    done = await run(ada, workflow)
    assert await refused(ada, f"/executions/{done['id']}/retry") == (409, "nothing_to_retry")
    provider.script({"latency_ms": 60_000})
    running = await ada.execute(workflow, {"topic": "x"})
    await ada.until(running, "running")
    for how in ("rerun", "fork"):
        body = {"from": {"node": "plan"}} if how == "fork" else None
        assert await refused(ada, f"/executions/{running}/{how}", body) == (409, "execution_under_way")
    assert await refused(ada, f"/executions/{running}/retry") == (409, "nothing_to_retry")
    await ada.post(f"/executions/{running}/cancel")
    assert await refused(ada, f"/executions/{uuid4()}/retry") == (404, "execution_not_found")


# --- rerun ------------------------------------------------------------------------------------------------


async def test_a_rerun_pays_again_on_what_ran_or_on_what_there_is_now(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    first = await run(ada, workflow)
    agents = (await ada.get("/agents"))["items"]
    changed = {key: agents[0][key] for key in ("name", "role", "backstory", "model_id")}
    await ada.http.put(f"/api/v1/agents/{agents[0]['id']}", json={**changed, "goal": "Rewrite {{ inputs.topic }}"})
    provider.script({"answer": "Words."})

    before = len(asked(provider))
    same = await derive(ada, first, "rerun", {"inputs": {"topic": "dunes"}})
    assert len(asked(provider)) == before + 3
    prompts = str(provider.journal()[before:])
    assert "Write about dunes" in prompts
    assert "Rewrite" not in prompts
    assert same["inputs"] == {"topic": "dunes"}

    before = len(asked(provider))
    latest = await derive(ada, first, "rerun", {"version": "latest", "priority": 3})
    assert "Rewrite tides" in str(provider.journal()[before:])
    assert latest["priority"] == 3
    assert all(not call["copied"] for call in await calls(ada, latest["id"]))


# --- fork -------------------------------------------------------------------------------------------------


async def test_a_fork_from_a_step_keeps_what_does_not_come_after_it(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    source = await run(ada, workflow)
    before = len(asked(provider))

    forked = await derive(
        ada,
        source,
        "fork",
        {"from": {"node": "draft"}, "overrides": {"nodes": {"draft": {"description": "Sketch {{ inputs.topic }}"}}}},
    )

    assert forked["status"] == "succeeded"
    paid = asked(provider)[before:]
    assert len(paid) == 2
    assert "Sketch tides" in paid[0]
    assert by_node(forked)["plan"]["output"] == by_node(source)["plan"]["output"]
    assert [call["copied"] for call in await calls(ada, forked["id"])] == [True, False, False]
    assert by_node(await ada.get(f"/executions/{source['id']}"))["draft"]["input"] != by_node(forked)["draft"]["input"]


async def test_a_fork_with_a_given_output_runs_only_what_follows(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    source = await run(ada, workflow)
    before = len(asked(provider))

    forked = await derive(ada, source, "fork", {"from": {"node": "draft"}, "answer": "What I wrote myself."})

    paid = asked(provider)[before:]
    assert len(paid) == 1
    assert "What I wrote myself." in paid[0]
    assert by_node(forked)["draft"]["output"] == {"text": "What I wrote myself.", "data": None, "citations": []}


async def test_a_fork_from_a_call_keeps_the_calls_before_it(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada, crew=True)
    provider.script({"last": "Second part", "answer": "Second words."}, {"answer": "Words."})
    source = await run(ada, workflow)
    plan, first, second, review = await calls(ada, source["id"])
    before = len(asked(provider))

    forked = await derive(ada, source, "fork", {"from": {"call_id": second["id"]}, "answer": "Other words."})

    paid = asked(provider)[before:]
    assert len(paid) == 1
    assert "Review" in paid[0]
    assert "Other words." in paid[0]
    journal = await calls(ada, forked["id"])
    assert [call["copied"] for call in journal] == [True, True, True, False]
    assert by_node(forked)["draft"]["output"]["text"] == "Other words."

    before = len(asked(provider))
    again = await derive(ada, source, "fork", {"from": {"call_id": first["id"]}})
    assert again["status"] == "succeeded"
    assert len(asked(provider)) == before + 3, "both parts and the review; the plan stays"
    assert plan["step_id"] != review["step_id"]


async def test_an_agent_is_somebody_else_in_a_fork(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    source = await run(ada, workflow)
    agent = source["agents"][0]["id"]
    before = len(asked(provider))

    change = {"goal": "Doubt {{ inputs.topic }}", "temperature": 0.5}
    forked = await derive(
        ada,
        source,
        "fork",
        {"from": {"node": "review"}, "overrides": {"agents": {agent: change}}, "inputs": {"topic": "x"}},
    )

    (request,) = provider.journal()[before:]
    assert "Doubt x" in str(request["body"]["messages"])
    assert request["body"]["temperature"] == 0.5
    assert forked["inputs"] == {"topic": "x"}


async def test_a_change_before_a_kept_call_makes_it_afresh(ada: Client, provider: FakeModelServer) -> None:
    """The second call is where the fork begins; but the prompt of the first is another now, so that one is made too."""
    workflow = await chain(ada, crew=True)
    provider.script({"answer": "Words."})
    source = await run(ada, workflow)
    second = (await calls(ada, source["id"]))[2]
    agent = source["agents"][0]["id"]
    config = (await ada.get(f"/workflows/{workflow}"))["graph"]["nodes"][1]["config"]
    tasks: list[JsonObject] = config["tasks"]
    before = len(asked(provider))

    changed = [{**each, "description": f"{each['description']}, briefly"} for each in tasks]
    overrides = {"agents": {agent: {"role": "Sceptic"}}, "nodes": {"draft": {"tasks": changed}}}
    forked = await derive(ada, source, "fork", {"from": {"call_id": second["id"]}, "overrides": overrides})

    assert forked["status"] == "succeeded", forked["error"]
    paid = provider.journal()[before:]
    assert len(paid) == 3
    assert all("Sceptic" in str(each["body"]["messages"]) for each in paid)
    told = by_node(forked)["draft"]["input"]["tasks"]
    assert [each["description"] for each in told] == ["First part, briefly", "Second part, briefly"]


async def test_a_fork_that_cannot_be_is_refused_with_the_place(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    source = await run(ada, workflow)
    call = (await calls(ada, source["id"]))[0]["id"]
    agent = source["agents"][0]["id"]
    at = {"from": {"node": "draft"}}
    other = str(uuid4())

    def draft(**config: Any) -> JsonObject:
        return {**at, "overrides": {"nodes": {"draft": config}}}

    def changed(id_: str, **fields: Any) -> JsonObject:
        return {**at, "overrides": {"agents": {id_: fields}}}

    for body, code, field in (
        ({"from": {"node": "nothing"}}, "fork_invalid", "from.node"),
        ({"from": {"node": "draft", "path": "each[1]"}}, "fork_invalid", "from.path"),
        ({"from": {"call_id": other}}, "fork_invalid", "from.call_id"),
        ({"from": {"call_id": call}, "answer": {"text": "x"}}, "fork_invalid", "answer"),
        ({**at, "answer": 5}, "fork_invalid", "answer"),
        ({**at, "inputs": {"topic": 5}}, "inputs_invalid", "inputs.topic"),
        ({**at, "overrides": {"nodes": {"nothing": {}}}}, "fork_invalid", "overrides.nodes.nothing"),
        (draft(agent_id=other), "workflow_invalid", "nodes.draft.agent_id"),
        (draft(description="{{"), "workflow_invalid", "nodes.draft.description"),
        (draft(nonsense=1), "workflow_invalid", "nodes.draft.nonsense"),
        (changed(agent, model_id=other), "fork_invalid", f"overrides.agents.{agent}.model_id"),
        (changed(agent, goal="{{ nodes.x }}"), "fork_invalid", f"overrides.agents.{agent}.goal"),
        (changed(agent, role=None), "invalid", f"overrides.agents.{agent}"),
        (changed(other, role="x"), "fork_invalid", f"overrides.agents.{other}"),
        ({**at, "origin": "fork"}, "invalid", "origin"),
    ):
        answer = await ada.http.post(f"/api/v1/executions/{source['id']}/fork", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, code), (body, error)
        assert field in [detail["field"] for detail in error["details"]], (body, error)
    shown = await ada.get("/executions", origin=source["id"])
    assert shown["items"] == []


async def test_the_same_key_makes_one_and_forks_are_listed(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    source = await run(ada, workflow)
    body = {"from": {"node": "review"}}
    key = {"Idempotency-Key": uuid4().hex}
    first = await ada.post(f"/executions/{source['id']}/fork", body, **key)
    second = await ada.post(f"/executions/{source['id']}/fork", body, **key)
    other = await refused(ada, f"/executions/{source['id']}/fork", {**body, "priority": 1}, **key)
    assert first["id"] == second["id"]
    assert other == (409, "idempotency_mismatch")
    await ada.finished(first["id"])
    listed = await ada.get("/executions", origin=source["id"])
    assert [each["id"] for each in listed["items"]] == [first["id"]]


# --- priorities -------------------------------------------------------------------------------------------


async def test_a_priority_can_be_changed_until_the_execution_runs(ada: Client, provider: FakeModelServer) -> None:
    workflow = await chain(ada)
    provider.script({"answer": "Words."})
    done = await run(ada, workflow)
    path = f"/executions/{done['id']}"
    assert await refused(ada, path, {"priority": 3}, "PATCH") == (409, "execution_ended")
    assert await refused(ada, path, {"priority": 11}, "PATCH") == (422, "invalid")
    assert await refused(ada, path, {}, "PATCH") == (422, "invalid")


# --- bodies, and those who wait ---------------------------------------------------------------------------


async def rounds(client: Client) -> str:
    """For each of two items three rounds, and something after every item and after all."""
    agent = await client.agent("Writer")
    say = task("say", agent, "Say {{ item }} {{ iteration.index }}")
    loop = {"until": "iteration.index == 2", "body": {"nodes": [say], "edges": []}}
    inner = [{"id": "rounds", "type": "loop", "config": loop}, task("sum", agent, "Sum {{ item }}")]
    body = {"nodes": inner, "edges": [{"from": "rounds", "to": "sum"}]}
    each = {"id": "each", "type": "map", "config": {"items": "['one', 'two']", "body": body}}
    return await client.workflow(graph([each, task("end", agent, "The end")], [("each", "end")]))


def told(provider: FakeModelServer, since: int) -> list[str]:
    """What agents were to do, of what was asked since then."""
    texts = asked(provider)[since:]
    return sorted(next(line for line in text.splitlines() if "Current Task: " in line)[14:] for text in texts)


async def test_a_fork_in_a_loop_in_a_map(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"answer": "Words."})
    source = await run(ada, await rounds(ada), any="thing")
    assert source["status"] == "succeeded", source["error"]
    assert len(asked(provider)) == 9
    before = len(asked(provider))

    forked = await derive(ada, source, "fork", {"from": {"node": "say", "path": "each[1]/rounds[1]"}})

    assert forked["status"] == "succeeded", forked["error"]
    assert told(provider, before) == ["Say two 1", "Say two 2", "Sum two", "The end"]
    replay = await ada.finished((await ada.post(f"/executions/{forked['id']}/replay"))["id"])
    assert replay["output"]["same"], replay["output"]


async def test_a_retry_in_a_loop_in_a_map(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"last": "Say two 1", "fault": FAULT}, {"last": "one", "answer": "One."}, {"answer": "Words."})
    failed = await run(ada, await rounds(ada), any="thing")
    assert failed["status"] == "failed"
    done = {(s["node"], s["path"]) for s in failed["steps"] if s["status"] == "succeeded" and s["type"] == "agent_task"}
    assert ("say", "each[1]/rounds[0]") in done
    # A call may have been answered in a step that another's failure then stopped: it is not made again either.
    calls = (await ada.get(f"/executions/{failed['id']}/calls"))["items"]
    answered = sum(call["status"] == "succeeded" for call in calls)
    assert answered >= len(done)
    provider.script({"answer": "Words."})
    before = len(asked(provider))

    retried = await derive(ada, failed, "retry")

    assert retried["status"] == "succeeded", retried["error"]
    assert len(asked(provider)) == before + 9 - answered
    for execution in (failed, retried):
        replay = await ada.finished((await ada.post(f"/executions/{execution['id']}/replay"))["id"])
        assert replay["output"]["same"], replay["output"]


async def test_one_that_waits_is_forked_and_goes_on_waiting(ada: Client, provider: FakeModelServer) -> None:
    agent = await ada.agent("Writer")
    approval = {"id": "may", "type": "approval", "config": {"title": "May it?"}}
    workflow = await ada.workflow(
        graph(
            [task("draft", agent, "Draft it"), approval, task("send", agent, "Send it")],
            [("draft", "may"), ("may", "send")],
        )
    )
    provider.script({"answer": "Words."})
    source = await ada.execute(workflow, {})
    await ada.until(source, "waiting")
    shown = await ada.get(f"/executions/{source}")
    assert [(wait["kind"], wait["node"], wait["title"]) for wait in shown["waits"]] == [("approval", "may", "May it?")]
    assert (await ada.http.patch(f"/api/v1/executions/{source}", json={"priority": 4})).json()["priority"] == 4
    before = len(asked(provider))
    answer = {"case": "approved", "payload": None, "comment": "", "by": None, "at": None}

    forked = await derive(ada, shown, "fork", {"from": {"node": "may"}, "answer": answer})

    assert forked["status"] == "succeeded", forked["error"]
    assert len(asked(provider)) == before + 1
    wrong = {"from": {"node": "may"}, "answer": {"case": "perhaps"}}
    assert await refused(ada, f"/executions/{source}/fork", wrong) == (422, "fork_invalid")
    assert (await ada.get(f"/executions/{source}"))["status"] == "waiting"
    again = await ada.post(f"/executions/{source}/fork", {"from": {"node": "send"}})
    await ada.until(again["id"], "waiting")
    assert len(asked(provider)) == before + 1, "the draft stays, and the question is asked anew"
    await ada.post(f"/executions/{source}/cancel")
    await ada.post(f"/executions/{again['id']}/cancel")
