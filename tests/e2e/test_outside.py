"""Tools and requests of running executions: what reaches the other system, and what never leaves ours."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from shared.kit.json import JsonObject
from shared.kit.settings import Settings
from tests.fakes.http_system import FakeHttpSystem
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client, Product, run_product

pytestmark = pytest.mark.e2e

SECRET = "canary-of-the-shop-0123456789"


@pytest.fixture(scope="module")
def system_process() -> Generator[FakeHttpSystem]:
    with FakeHttpSystem() as server:
        yield server


@pytest.fixture
def system(system_process: FakeHttpSystem) -> FakeHttpSystem:
    system_process.reset()
    return system_process


@pytest.fixture(scope="module")
async def shop(
    settings: Settings,
    provider: FakeModelServer,
    system_process: FakeHttpSystem,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Product]:
    """The product, with no worker, and with the fake system as a place that may be reached."""
    allowed = f"{provider.url.removeprefix('http://')},{system_process.place}"
    logs = tmp_path_factory.mktemp("shop")
    async with run_product(settings, logs, provider, workers=0, QUARTERDECK_ALLOWED_HOSTS=allowed) as running:
        yield running


@pytest.fixture
async def ada(shop: Product) -> Client:
    return await shop.sign_up("Ada")


def graph(kind: str, **config: Any) -> JsonObject:
    node = {"id": "n", "type": kind, "name": "N", "config": config}
    outputs = {"text": "nodes.n.output.text"}
    return {"spec": 1, "inputs": {"type": "object"}, "nodes": [node], "edges": [], "outputs": outputs}


async def asked(system: FakeHttpSystem, times: int, within: float = 30) -> None:
    deadline = time.monotonic() + within
    while len(system.journal()) < times:
        assert time.monotonic() < deadline, f"never asked {times} times"
        await asyncio.sleep(0.05)


async def item(client: Client, kind: str) -> JsonObject:
    """The one open inbox item."""
    (found,) = (await client.get("/inbox", status="open"))["items"]
    assert found["kind"] == kind
    return found


async def killed_in_mid_request(shop: Product, ada: Client, system: FakeHttpSystem, effect: str) -> str:
    """An execution whose worker died while the other system had the request and had not answered."""
    system.script({"behave": "echo", "seconds": 600, "times": 1})
    config = {"method": "POST", "url": f"{system.url}/orders", "json": "{'n': 1}", "effect": effect}
    execution = await ada.execute(await ada.workflow(graph("http", **config)), {})
    worker = await shop.start_worker()
    await asked(system, 1)
    await shop.kill(worker)
    assert (await ada.get(f"/executions/{execution}"))["status"] == "running"
    return execution


async def test_what_is_idempotent_is_sent_again_under_the_same_key(
    shop: Product, ada: Client, system: FakeHttpSystem
) -> None:
    """R6."""
    execution = await killed_in_mid_request(shop, ada, system, "idempotent")
    worker = await shop.start_worker()
    ended = await ada.finished(execution)
    await shop.kill(worker)
    assert ended["status"] == "succeeded", ended
    assert list(system.keys().values()) == [2]
    assert all(system.keys())


async def test_what_must_happen_once_is_not_sent_again_but_asked_of_a_person(
    shop: Product, ada: Client, system: FakeHttpSystem
) -> None:
    """R6."""
    execution = await killed_in_mid_request(shop, ada, system, "once")
    worker = await shop.start_worker()
    await ada.until(execution, "waiting")
    doubt = await item(ada, "call_in_doubt")
    answer = {"action": "respond", "payload": {"status": 201, "text": "order 7 was made"}}
    await ada.post(f"/inbox/{doubt['id']}/respond", answer)
    ended = await ada.finished(execution)
    await shop.kill(worker)
    assert (ended["status"], ended["output"]) == ("succeeded", {"text": "order 7 was made"})
    assert list(system.keys().values()) == [1]


async def ordering_agent(ada: Client, system: FakeHttpSystem) -> str:
    """A workflow of one agent, which may order things when a person agrees."""
    credential = {"host": system.place, "kind": "header", "header_name": "X-Shop", "secret": SECRET}
    connection = await ada.post("/connections", {"name": "Shop", **credential})
    await ada.post(
        "/tools",
        {
            "name": "order",
            "description": "Orders a thing.",
            "parameters": {"type": "object", "properties": {"thing": {"type": "string"}}, "required": ["thing"]},
            "effect": "once",
            "config": {
                "method": "POST",
                "url": f"{system.url}/orders/{{{{ arguments.thing }}}}",
                "json": {"thing": "{{ arguments.thing }}"},
                "connection_id": connection["id"],
            },
        },
    )
    agent = await ada.agent("buyer", tools=["order"], approve_tools=["order"])
    return await ada.workflow(
        graph("agent_task", agent_id=agent, description="Order tea.", expected_output="What was ordered.")
    )


def plan(provider: FakeModelServer, *things: Any) -> None:
    """A model that calls for the tool with each of these, then says what came of it."""
    calls = [
        {"after_tools": n, "tool_calls": [{"name": "order", "arguments": thing}]} for n, thing in enumerate(things)
    ]
    provider.script(*calls, {"after_tools": len(things), "answer": "Done."})


async def test_an_agent_orders_what_a_person_agreed_to_and_no_secret_is_told(
    shop: Product, ada: Client, system: FakeHttpSystem, provider: FakeModelServer
) -> None:
    """The fake system says back all it was sent, credential and all."""
    workflow = await ordering_agent(ada, system)
    plan(provider, {"thing": "tea"}, {"thing": "../admin"}, {"other": 1})
    worker = await shop.start_worker()
    execution = await ada.execute(workflow, {})
    for payload in ({"thing": "green tea"}, None, None):
        await ada.until(execution, "waiting", within=60)
        asked_for = await item(ada, "tool_approval")
        answer = {"action": "accept"} if payload is None else {"action": "edit", "payload": payload}
        await ada.post(f"/inbox/{asked_for['id']}/respond", answer)
        await left(ada, execution)
    ended = await ada.finished(execution)
    assert ended["status"] == "succeeded", ended

    sent = system.journal()
    assert [entry["url"] for entry in sent] == ["/orders/green%20tea", "/orders/..%2Fadmin"], "no way out of the path"
    assert all(entry["headers"]["x-shop"] == SECRET for entry in sent)
    assert len(system.keys()) == len(sent)

    told = [json.dumps(await ada.stream(execution))]
    for path in ("", "/calls", "/logs"):
        told.append(json.dumps(await ada.get(f"/executions/{execution}{path}")))
    for path in ("/tools", "/connections", f"/workflows/{workflow}/export", "/inbox"):
        told.append((await ada.http.get(f"/api/v1{path}")).text)
    told += [json.dumps(call["body"]) for call in provider.journal()]
    await shop.kill(worker)
    logs = [log.read_text() for log in shop.logs.iterdir()]
    assert any("[secret]" in text for text in told), "the answer came back"
    assert not any(SECRET in text for text in (*told, *logs))


async def left(client: Client, execution: str) -> None:
    """Waits until what was answered was taken up."""
    deadline = time.monotonic() + 30
    while (await client.get("/inbox", status="open"))["items"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
