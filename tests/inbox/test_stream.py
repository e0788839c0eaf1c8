"""The live inbox over a real server."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from starlette.types import ASGIApp

from gateway.lifespan import Composed
from services.auth.module import SERVICE as AUTH
from services.inbox import streaming
from services.inbox.module import SERVICE
from shared.executions.events import InboxChange, announce_inbox
from shared.kit.settings import Settings
from shared.web.app import create_app
from shared.web.resources import open_resources
from tests.gateway.support import running
from tests.inbox.conftest import Desk
from tests.inbox.streams import Events, following, watch
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


def live(port: int, account: Account) -> AbstractAsyncContextManager[Events]:
    return watch(f"http://127.0.0.1:{port}", account.headers)


async def test_the_counts_come_first_and_then_what_changes(
    port: int, desk: Desk, ada: Account, bob: Account, platform: Platform
) -> None:
    redis = platform.resources.redis
    async with live(port, ada) as stream, live(port, bob) as elsewhere:
        assert await following(stream) == ("counts", {"open": 0, "unread": 0, "mine": 0})
        assert await following(elsewhere) == ("counts", {"open": 0, "unread": 0, "mine": 0})

        item_id = await desk.item(assignee_role="owner")
        await announce_inbox(redis, ada.tenant_id, InboxChange.NEW, [item_id])
        kind, data = await following(stream)
        assert (kind, data["change"], data["item"]["id"]) == ("item", "new", str(item_id))
        assert await following(stream) == ("counts", {"open": 1, "unread": 1, "mine": 1})

        await desk.post(f"/{item_id}/mark-read")
        assert await following(stream) == ("counts", {"open": 1, "unread": 0, "mine": 1})

        await desk.respond(item_id, "accept")
        kind, data = await following(stream)
        assert (kind, data["change"], data["item"]["status"]) == ("item", "settled", "answered")
        assert data["item"] == await desk.get(f"/{item_id}")
        assert await following(stream) == ("counts", {"open": 0, "unread": 0, "mine": 0})

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(elsewhere), 0.5)


async def test_the_counts_come_right_when_nobody_announces(
    port: int, desk: Desk, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "POLL_SECONDS", 1.0)
    async with live(port, ada) as stream:
        await following(stream)
        await desk.item()
        assert await following(stream) == ("counts", {"open": 1, "unread": 1, "mine": 0})


@pytest.mark.parametrize("how", ["logout", "key"])
async def test_a_stream_ends_within_five_seconds_of_a_logout(
    port: int, platform: Platform, ada: Account, how: str
) -> None:
    auth = await platform.client(AUTH, ada)
    reader, made = ada, {}
    if how == "key":
        made = (await auth.post("/api/v1/api-keys", json={"name": "k", "scopes": ["inbox:read"]})).json()
        reader = Account(ada.user_id, ada.tenant_id, ada.email, made["key"])
    async with live(port, reader) as stream:
        await following(stream)
        if how == "key":
            assert (await auth.delete(f"/api/v1/api-keys/{made['id']}")).status_code == 204
        else:
            assert (await auth.post("/api/v1/auth/logout")).status_code == 204
        started = time.monotonic()
        assert [event async for event in stream] == []
        assert time.monotonic() - started < 5.5


async def test_a_key_without_the_scope_is_refused(port: int, platform: Platform, ada: Account) -> None:
    auth = await platform.client(AUTH, ada)
    made = (await auth.post("/api/v1/api-keys", json={"name": "k", "scopes": ["executions:read"]})).json()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {made['key']}"}) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/api/v1/inbox/stream")).status_code == 403
