"""SSE and WebSocket over a real server."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.lifespan import Composed
from services.auth.module import SERVICE as AUTH
from services.execution_monitoring.module import SERVICE
from shared.kit.ids import new_id
from shared.kit.settings import Settings
from shared.web import streaming
from shared.web.app import create_app
from shared.web.resources import open_resources
from tests.gateway.support import running
from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform


@pytest.fixture(scope="module")
def port(settings: Settings) -> Generator[int]:
    @asynccontextmanager
    async def compose() -> AsyncGenerator[ASGIApp]:
        async with open_resources(settings) as resources:
            app = create_app(SERVICE, resources)
            async with app.router.lifespan_context(app):
                yield app

    with running(Composed(compose)) as port:
        yield port


class Event:
    def __init__(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        self.id = int(fields["id"])
        self.type = fields["event"]
        self.body: dict[str, Any] = json.loads(fields["data"])


@asynccontextmanager
async def events(
    port: int, account: Account, execution_id: object, query: str = "", **headers: str
) -> AsyncGenerator[AsyncGenerator[Event]]:
    async def blocks(response: httpx.Response) -> AsyncGenerator[Event]:
        block = ""
        async for line in response.aiter_lines():
            block += f"{line}\n" if line else ""
            if not line:
                if block.startswith("id:"):
                    yield Event(block)
                block = ""

    url = f"http://127.0.0.1:{port}/api/v1/executions/{execution_id}/events{query}"
    async with (
        httpx.AsyncClient(timeout=10, headers=account.headers | headers) as client,
        client.stream("GET", url) as response,
    ):
        assert response.status_code == 200, (await response.aread()).decode()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield blocks(response)


def socket(port: int, account: Account | None, execution_id: object, query: str = "") -> connect:
    url = f"ws://127.0.0.1:{port}/api/v1/executions/{execution_id}/ws{query}"
    return connect(url, additional_headers=account.headers if account else {}, proxy=None)


async def received(connection: ClientConnection) -> list[dict[str, Any]]:
    """Everything up to the close."""
    got: list[dict[str, Any]] = []
    try:
        while True:
            got.append(json.loads(await asyncio.wait_for(connection.recv(), 10)))
    except ConnectionClosed:
        return got


async def test_events_come_as_they_happen_and_the_stream_ends_after_done(
    port: int, ada: Account, ledger: Seeder
) -> None:
    execution_id = await ledger.execution()
    await ledger.append(execution_id, ("execution.status", {"status": "running"}))
    async with events(port, ada, execution_id) as stream:
        first = await anext(stream)
        await ledger.append(execution_id, ("log", {"sent": time.time(), "text": "a\nb"}))
        second = await asyncio.wait_for(anext(stream), 2)
        assert time.time() - second.body["data"]["sent"] < 1
        await ledger.finish(execution_id)
        rest = [event async for event in stream]
    assert (first.id, first.type) == (1, "execution.status")
    assert second.body["data"]["text"] == "a\nb"
    assert [event.type for event in rest] == ["execution.status", "done"]
    assert [event.id for event in rest] == [3, 4]


async def test_a_stream_is_taken_up_again_where_it_was_left(port: int, ada: Account, ledger: Seeder) -> None:
    execution_id = await ledger.execution()
    await ledger.append(execution_id, *[("log", {"n": n}) for n in range(10)])
    await ledger.finish(execution_id)

    async def seen(query: str = "", **headers: str) -> list[int]:
        async with events(port, ada, execution_id, query, **headers) as stream:
            return [event.id async for event in stream]

    assert await seen() == list(range(1, 13))
    assert await seen("?after=9") == [10, 11, 12]
    assert await seen(**{"Last-Event-ID": "11"}) == [12]
    assert await seen("?after=3", **{"Last-Event-ID": "11"}) == [12]
    assert await seen("?after=12") == []


async def test_a_silent_stream_is_kept_alive(
    port: int, ada: Account, ledger: Seeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 1.0)
    execution_id = await ledger.execution()
    url = f"http://127.0.0.1:{port}/api/v1/executions/{execution_id}/events"
    async with httpx.AsyncClient(timeout=10, headers=ada.headers) as client, client.stream("GET", url) as response:
        async with asyncio.timeout(6):
            async for line in response.aiter_lines():
                if line.startswith(":"):
                    return


@pytest.mark.parametrize("how", ["logout", "key", "removal"])
async def test_a_stream_ends_within_five_seconds_of_a_logout(
    port: int, platform: Platform, ledger: Seeder, ada: Account, how: str
) -> None:
    execution_id = await ledger.execution()
    auth = await platform.client(AUTH, ada)
    watcher = ada
    made = {}
    if how == "key":
        made = (await auth.post("/api/v1/api-keys", json={"name": "k", "scopes": ["executions:read"]})).json()
        watcher = Account(ada.user_id, ada.tenant_id, ada.email, made["key"])
    elif how == "removal":
        watcher = await platform.join(ada, "viewer")
    async with events(port, watcher, execution_id) as stream, socket(port, watcher, execution_id) as connection:
        await ledger.append(execution_id, ("log", {}))
        await asyncio.wait_for(anext(stream), 5)
        if how == "key":
            assert (await auth.delete(f"/api/v1/api-keys/{made['id']}")).status_code == 204
        elif how == "removal":
            gone = await auth.delete(f"/api/v1/tenants/{ada.tenant_id}/members/{watcher.user_id}")
            assert gone.status_code == 204
        else:
            assert (await auth.post("/api/v1/auth/logout")).status_code == 204
        started = time.monotonic()
        assert [event async for event in stream] == []
        await received(connection)
        assert time.monotonic() - started < 5.5
        assert connection.close_code == 4401


async def test_a_watcher_who_leaves_frees_what_he_held(
    port: int, ada: Account, ledger: Seeder, platform: Platform
) -> None:
    execution_id = await ledger.execution()
    name = f"executions:{execution_id}".encode()
    redis = platform.resources.redis
    async with events(port, ada, execution_id):
        await asyncio.sleep(0.3)
        assert name in await redis.execute_command("PUBSUB", "CHANNELS", "executions:*")
    async with asyncio.timeout(5):
        while name in await redis.execute_command("PUBSUB", "CHANNELS", "executions:*"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_websocket_gives_the_same_events(port: int, ada: Account, ledger: Seeder) -> None:
    execution_id = await ledger.execution()
    await ledger.append(execution_id, ("log", {"n": 0}), ("log", {"n": 1}))
    async with socket(port, ada, execution_id, "?after=1") as connection:
        assert json.loads(await connection.recv())["data"] == {"n": 1}
        await connection.send("watchers have nothing to say")
        await ledger.finish(execution_id)
        rest = await received(connection)
    assert [event["seq"] for event in rest] == [3, 4]
    assert connection.close_code == 1000


async def test_a_websocket_is_refused_with_a_reason(
    port: int, ada: Account, bob: Account, ledger: Seeder, platform: Platform
) -> None:
    execution_id = await ledger.execution()
    auth = await platform.client(AUTH, ada)
    made = (await auth.post("/api/v1/api-keys", json={"name": "k", "scopes": ["models:read"]})).json()
    narrow = Account(ada.user_id, ada.tenant_id, ada.email, made["key"])
    for account, wanted, status, code in (
        (bob, execution_id, 404, "execution_not_found"),
        (ada, new_id(), 404, "execution_not_found"),
        (narrow, execution_id, 403, "not_allowed"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await socket(port, account, wanted)
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == code
    for account, wanted in ((None, execution_id), (ada, "7")):
        with pytest.raises(InvalidStatus) as refused:
            await socket(port, account, wanted)
        assert refused.value.response.status_code in (401, 403)
