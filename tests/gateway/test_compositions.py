"""The two compositions as they run: every service in one process, and services of their own behind the proxy."""

import asyncio
import json
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from gateway import embedded, main
from gateway.lifespan import Composed
from services.analytics.module import SERVICE as ANALYTICS
from services.auth.module import SERVICE as AUTH
from services.execution_monitoring.module import SERVICE as EXECUTION_MONITORING
from services.inbox.module import SERVICE as INBOX
from shared.kit.settings import Settings
from shared.web.app import Service
from tests.gateway.fronts import service_app
from tests.gateway.support import running
from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform

BEHIND_THE_PROXY: tuple[Service, ...] = (AUTH, EXECUTION_MONITORING, INBOX, ANALYTICS)


@pytest.fixture(scope="module", params=["one process", "split"])
def port(request: pytest.FixtureRequest, settings: Settings) -> Generator[int]:
    with ExitStack() as stack:
        if request.param == "one process":
            app = Composed(lambda: embedded.compose(settings))
        else:
            ports = {
                service.name: stack.enter_context(running(service_app(service, settings)))
                for service in BEHIND_THE_PROXY
            }
            upstreams = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            split = settings.model_copy(update={"upstreams": upstreams})
            app = Composed(lambda: main.compose(split))
        yield stack.enter_context(running(app, server_header=False, proxy_headers=False))


@pytest.fixture
def client(port: int, ada: Account) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=ada.headers, timeout=10)


@pytest.fixture
def ledger(platform: Platform, ada: Account) -> Seeder:
    return Seeder(platform.resources, ada.tenant_id)


async def test_an_execution_is_followed_through_the_front_door(
    port: int, client: httpx.AsyncClient, ada: Account, bob: Account, ledger: Seeder
) -> None:
    execution_id = await ledger.execution(name="watched")
    await ledger.append(execution_id, ("execution.status", {"status": "running"}))
    url = f"/api/v1/executions/{execution_id}"
    socket_url = f"ws://127.0.0.1:{port}{url}/ws"
    async with (
        client,
        client.stream("GET", f"{url}/events") as stream,
        connect(socket_url, additional_headers=ada.headers, proxy=None) as socket,
    ):
        await asyncio.sleep(0.1)
        await ledger.append(execution_id, ("message.delta", {"text": "hi", "call": "1"}))
        await ledger.finish(execution_id)
        lines = [line async for line in stream.aiter_lines() if line.startswith("data: ")]
        frames = [json.loads(await asyncio.wait_for(socket.recv(), 5)) for _ in range(4)]
        events: list[dict[str, Any]] = [json.loads(line.removeprefix("data: ")) for line in lines]
        assert [event["seq"] for event in events] == [1, 2, 3, 4]
        assert frames == events
        assert (await client.get(url)).json()["name"] == "watched"
        summary = (await client.get("/api/v1/analytics/summary")).json()
        assert summary["executions"]["total"] == 1
        assert (await client.get(url, headers=bob.headers)).status_code == 404


async def test_the_inbox_is_watched_and_answered_through_the_front_door(
    client: httpx.AsyncClient, ledger: Seeder
) -> None:
    execution_id = await ledger.execution(status="waiting")
    step_id = await ledger.step(execution_id, "ask", status="waiting")
    item_id = await ledger.wait(execution_id, step_id)
    async with client, client.stream("GET", "/api/v1/inbox/stream") as stream:
        lines = stream.aiter_lines()

        async def sent() -> Any:
            async with asyncio.timeout(8):
                while not (line := await anext(lines)).startswith("data: "):
                    pass
            return json.loads(line.removeprefix("data: "))

        assert await sent() == {"open": 1, "unread": 1, "mine": 0}
        answered = await client.post(f"/api/v1/inbox/{item_id}/respond", json={"action": "accept"})
        assert answered.status_code == 200, answered.text
        assert await sent() == {"change": "settled", "item": answered.json()}
        assert await sent() == {"open": 0, "unread": 0, "mine": 0}


async def test_the_description_is_served(client: httpx.AsyncClient) -> None:
    async with client:
        document = (await client.get("/api/v1/openapi.json")).json()
        assert {"/api/v1/executions/{execution_id}/events", "/api/v1/analytics/summary"} <= set(document["paths"])
        assert "/api/v1/analytics/summary" in (await client.get("/api/v1/docs")).text


async def test_a_service_that_is_no_part_of_it_is_named(client: httpx.AsyncClient) -> None:
    async with client:
        answer = await client.get("/api/v1/models")
        if answer.status_code != 200:
            assert answer.status_code == 503
            assert "models" in answer.json()["error"]["message"]
