"""Items that real executions ask, answered through the API, with the product's own processes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import pytest

from shared.kit.json import JsonObject
from shared.kit.settings import Settings
from tests.fakes.model_server import FakeModelServer
from tests.inbox.streams import following, watch
from tests.support.product import Client, Product, run_product

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def provider() -> Generator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def product(
    settings: Settings, provider: FakeModelServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Product]:
    async with run_product(settings, tmp_path_factory.mktemp("product"), provider, workers=2) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh_provider(provider: FakeModelServer) -> None:
    provider.reset()


@pytest.fixture
async def ada(product: Product) -> Client:
    return await product.sign_up("Ada")


def asking(kind: str, config: JsonObject) -> JsonObject:
    """A graph that asks first, and then tells what came of it."""
    return {
        "spec": 1,
        "inputs": {"type": "object", "properties": {"to": {"type": "string"}}},
        "nodes": [
            {"id": "ask", "type": kind, "config": config},
            {"id": "told", "type": "transform", "config": {"expression": "nodes.ask.output"}},
        ],
        "edges": [
            {"from": "ask", "to": "told", **({"port": port} if port else {})}
            for port in (("approved", "rejected") if kind == "approval" else (None,))
        ],
        "outputs": {"told": "nodes.told.output"},
    }


APPROVAL: JsonObject = {
    "title": "Send it to {{ inputs.to }}?",
    "message": "A letter for {{ inputs.to }}.",
    "payload": "inputs",
    "editable": True,
}


async def start(client: Client, graph: JsonObject, to: str = "ann") -> str:
    return await client.execute(await client.workflow(graph), {"to": to})


async def asked(client: Client, execution_id: str, within: float = 20) -> JsonObject:
    """The item that the execution asks, once it does."""
    deadline = time.monotonic() + within
    while True:
        items = (await client.get("/inbox", execution=execution_id))["items"]
        if items:
            return items[0]
        assert time.monotonic() < deadline, await client.get(f"/executions/{execution_id}")
        await asyncio.sleep(0.05)


async def told(client: Client, execution_id: str) -> Any:
    execution = await client.finished(execution_id)
    assert execution["status"] == "succeeded", execution
    return execution["output"]["told"]


def respond(client: Client, item: JsonObject, **answer: Any) -> Any:
    return client.http.post(f"/api/v1/inbox/{item['id']}/respond", json=answer)


async def test_an_approval_suspends_the_run_until_somebody_answers(ada: Client) -> None:
    me = (await ada.get("/users/me"))["id"]
    execution_id = await start(ada, asking("approval", APPROVAL))
    item = await asked(ada, execution_id)
    assert (item["kind"], item["title"], item["node"]) == ("approval", "Send it to ann?", "ask")
    assert item["request"]["payload"] == {"to": "ann"}
    assert item["actions"] == ["accept", "edit", "ignore", "respond"]
    await ada.until(execution_id, "waiting")

    wrong = await respond(ada, item, action="edit")
    assert wrong.status_code == 422
    assert (await asked(ada, execution_id))["status"] == "open"

    answer = await respond(ada, item, action="edit", payload={"to": "bob"}, shown_hash=item["shown_hash"])
    assert answer.status_code == 200, answer.text
    output = await told(ada, execution_id)
    assert (output["case"], output["payload"], output["by"]) == ("approved", {"to": "bob"}, me)
    types = [event["type"] for event in await ada.stream(execution_id)]
    assert types.count("step.waiting") == 1
    assert types[-1] == "done"


async def test_a_watcher_sees_what_is_asked_and_settled(product: Product, ada: Client) -> None:
    async with watch(product.url, {"Authorization": str(ada.http.headers["Authorization"])}) as events:
        assert await following(events) == ("counts", {"open": 0, "unread": 0, "mine": 0})
        config = {**APPROVAL, "expires_in_ms": 3000, "on_expiry": "approve", "assignee": {"role": "owner"}}
        execution_id = await start(ada, asking("approval", config))
        seen = [await following(events) for _ in range(4)]
        changes = [data["change"] for kind, data in seen if kind == "item"]
        counts = [data for kind, data in seen if kind == "counts"]
        assert changes == ["new", "settled"]
        assert {data["item"]["execution"]["id"] for kind, data in seen if kind == "item"} == {execution_id}
        assert counts == [{"open": 1, "unread": 1, "mine": 1}, {"open": 0, "unread": 0, "mine": 0}]


@pytest.mark.parametrize(
    ("answer", "case", "comment"),
    [
        ({"action": "accept"}, "approved", None),
        ({"action": "accept", "payload": "Gladly."}, "approved", "Gladly."),
        ({"action": "ignore"}, "rejected", None),
        ({"action": "respond", "payload": "Not today."}, "rejected", "Not today."),
    ],
    ids=["accept", "accept with words", "ignore", "respond"],
)
async def test_what_is_answered_decides_where_the_run_goes(
    ada: Client, answer: JsonObject, case: str, comment: str | None
) -> None:
    execution_id = await start(ada, asking("approval", APPROVAL))
    assert (await respond(ada, await asked(ada, execution_id), **answer)).status_code == 200
    output = await told(ada, execution_id)
    assert (output["case"], output["comment"]) == (case, comment)


async def test_a_question_gets_an_answer_that_fits(ada: Client) -> None:
    config = {"question": "How many for {{ inputs.to }}?", "answer_schema": {"type": "integer", "minimum": 1}}
    execution_id = await start(ada, asking("question", config))
    item = await asked(ada, execution_id)
    assert (await respond(ada, item, action="respond", payload=0)).json()["error"]["code"] == "payload_invalid"
    assert (await respond(ada, item, action="respond", payload=3)).status_code == 200
    output = await told(ada, execution_id)
    assert (output["answer"], output["answered"]) == (3, True)


async def test_an_answer_reaches_a_run_that_is_busy_elsewhere(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"answer": "Done at last.", "latency_ms": 4000})
    graph = asking("question", {"question": "Now?"})
    config = {"agent_id": await ada.agent("Clerk"), "description": "Take your time.", "expected_output": "A word."}
    graph["nodes"].append({"id": "slow", "type": "agent_task", "config": config})
    execution_id = await start(ada, graph)
    item = await asked(ada, execution_id)
    assert (await respond(ada, item, action="respond", payload="yes")).status_code == 200
    assert (await told(ada, execution_id))["answer"] == "yes"
    events = await ada.stream(execution_id)
    finished = [event["step"]["node"] for event in events if event["type"] == "step.finished"]
    assert finished == ["ask", "told", "slow"]


async def test_of_a_hundred_answers_one_counts_and_the_run_resumes_once(ada: Client) -> None:
    execution_id = await start(ada, asking("question", {"question": "Which number?"}))
    item = await asked(ada, execution_id)
    answers: list[httpx.Response] = await asyncio.gather(
        *(respond(ada, item, action="respond", payload=number) for number in range(100))
    )
    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.status_code for answer in answers} == {200, 409}
    assert (await told(ada, execution_id))["answer"] == won[0]
    events = await ada.stream(execution_id)
    resumed = [event for event in events if event["data"].get("reason") == "answered"]
    assert len(resumed) <= 1, "an answer that meets the run before it is parked resumes it without a queue"
    finished = [event for event in events if event["type"] == "step.finished"]
    assert sorted(event["step"]["node"] for event in finished) == ["ask", "told"]


async def test_many_approvals_are_answered_at_once(ada: Client) -> None:
    workflow = await ada.workflow(asking("approval", APPROVAL))
    executions = [await ada.execute(workflow, {"to": str(n)}) for n in range(10)]
    items = [await asked(ada, execution_id) for execution_id in executions]
    assert (await ada.get("/inbox/counts"))["open"] == 10
    body = {"action": "accept", "items": [{"id": i["id"], "shown_hash": i["shown_hash"]} for i in items]}
    assert (await ada.post("/inbox/respond", body))["settled"] == 10
    outputs = [await told(ada, execution_id) for execution_id in executions]
    assert [output["payload"]["to"] for output in outputs] == [str(n) for n in range(10)]
    assert (await ada.get("/inbox/counts"))["open"] == 0


async def test_what_nobody_answers_expires_as_the_node_says(ada: Client) -> None:
    config = {**APPROVAL, "expires_in_ms": 500, "on_expiry": "approve"}
    execution_id = await start(ada, asking("approval", config))
    output = await told(ada, execution_id)
    assert (output["case"], output["payload"], output["by"]) == ("approved", {"to": "ann"}, None)
    (item,) = (await ada.get("/inbox", execution=execution_id, status="expired"))["items"]
    assert (item["answer"], item["due_at"] is None) == (None, False)
    late = await respond(ada, item, action="accept")
    assert late.json()["error"]["code"] == "inbox_item_settled"

    execution_id = await start(ada, asking("approval", {**config, "on_expiry": "fail"}))
    assert (await ada.finished(execution_id))["status"] == "failed"


async def test_what_nobody_answers_goes_to_somebody_else(ada: Client) -> None:
    me = (await ada.get("/users/me"))["id"]
    escalate = {"after_ms": 500, "assignee": {"role": "owner"}}
    execution_id = await start(ada, asking("approval", {**APPROVAL, "assignee": {"user_id": me}, "escalate": escalate}))
    item = await asked(ada, execution_id)
    assert item["assignee"] == {"user_id": me, "role": None}
    deadline = time.monotonic() + 10
    while item["escalated_at"] is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
        item = await ada.get(f"/inbox/{item['id']}")
    assert (item["status"], item["assignee"]) == ("open", {"user_id": None, "role": "owner"})
    assert (await respond(ada, item, action="accept")).status_code == 200
    assert (await told(ada, execution_id))["case"] == "approved"


async def test_an_execution_that_is_cancelled_asks_no_longer(ada: Client) -> None:
    execution_id = await start(ada, asking("approval", APPROVAL))
    item = await asked(ada, execution_id)
    await ada.until(execution_id, "waiting")
    await ada.post(f"/executions/{execution_id}/cancel")
    late = await respond(ada, item, action="accept")
    assert late.status_code == 409
    assert {"field": "status", "message": "closed", "code": "settled"} in late.json()["error"]["details"]
    assert (await ada.get("/inbox", execution=execution_id))["items"] == []


async def agent_with_a_careful_tool(client: Client, provider: FakeModelServer) -> JsonObject:
    """A graph of one agent, which works out one sum and may not without being asked."""
    provider.script(
        {"after_tools": 0, "tool_calls": [{"name": "calculator", "arguments": {"expression": "6 * 7"}}]},
        {"after_tools": 1, "answer": "Done."},
    )
    agent = await client.agent("Clerk", tools=["calculator"], approve_tools=["calculator"])
    config = {"agent_id": agent, "description": "Work it out.", "expected_output": "A number."}
    return {
        "spec": 1,
        "inputs": {"type": "object", "properties": {"to": {"type": "string"}}},
        "nodes": [{"id": "work", "type": "agent_task", "config": config}],
        "edges": [],
        "outputs": {"told": "nodes.work.output.text"},
    }


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"action": "accept"}, "42"),
        ({"action": "edit", "payload": {"expression": "6 * 8"}}, "48"),
        ({"action": "respond", "payload": "It is a lot."}, "It is a lot."),
        ({"action": "ignore"}, "declined"),
    ],
    ids=["accept", "edit", "respond", "ignore"],
)
async def test_a_tool_waits_for_a_persons_word(
    ada: Client, provider: FakeModelServer, answer: JsonObject, result: str
) -> None:
    execution_id = await start(ada, await agent_with_a_careful_tool(ada, provider))
    item = await asked(ada, execution_id, within=40)
    assert (item["kind"], item["agent"], item["node"]) == ("tool_approval", "Clerk", "work")
    assert (item["request"]["tool"], item["request"]["arguments"]) == ("calculator", {"expression": "6 * 7"})

    for wrong in ({"expression": 7}, {"formula": "1"}, {}):
        refused = await respond(ada, item, action="edit", payload=wrong)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "payload_invalid")
    assert (await ada.get(f"/inbox/{item['id']}"))["status"] == "open"
    assert (await respond(ada, item, **answer)).status_code == 200

    assert await told(ada, execution_id) == "Done."
    requests = [entry["body"] for entry in provider.journal()]
    assert len(requests) == 2, "what the model had said before the wait is not asked again"
    (given,) = [message for message in requests[1]["messages"] if message["role"] == "tool"]
    assert result in given["content"]
