from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest

from services.tools.module import SERVICE
from shared.kit.json import JsonObject
from shared.kit.settings import Settings
from tests.fakes.http_system import FakeHttpSystem
from tests.support.platform import Account, Platform, open_platform

SECRET = "canary-0123456789-secret"


@pytest.fixture(scope="session")
def system_process() -> Iterator[FakeHttpSystem]:
    with FakeHttpSystem() as server:
        yield server


@pytest.fixture
def system(system_process: FakeHttpSystem) -> FakeHttpSystem:
    system_process.reset()
    return system_process


@pytest.fixture(scope="module")
def settings(settings: Settings, system_process: FakeHttpSystem) -> Settings:
    """With the fake system as the one place inside that may be reached."""
    return settings.model_copy(update={"allowed_hosts": system_process.place})


@pytest.fixture(scope="module")
async def platform(settings: Settings) -> AsyncGenerator[Platform]:
    async with open_platform(settings) as opened:
        yield opened


class Api:
    """The tools API as one person calls it."""

    def __init__(self, client: httpx.AsyncClient, account: Account, system: FakeHttpSystem) -> None:
        self._client = client
        self.account = account
        self.system = system

    def as_(self, account: Account) -> "Api":
        return Api(self._client, account, self.system)

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self._client.request(method, f"/api/v1{path}", headers=self.account.headers, **options)

    def tool_body(self, **changes: Any) -> JsonObject:
        config = {"url": f"{self.system.url}/things", **changes.pop("config", {})}
        return {"name": "look", "description": "Looks.", "effect": "read", "config": config} | changes

    def connection_body(self, **changes: Any) -> JsonObject:
        return {"name": "Shop", "host": self.system.place, "kind": "bearer", "secret": SECRET} | changes

    async def tool(self, **changes: Any) -> JsonObject:
        return self._made(await self.call("POST", "/tools", json=self.tool_body(**changes)))

    async def connection(self, **changes: Any) -> JsonObject:
        return self._made(await self.call("POST", "/connections", json=self.connection_body(**changes)))

    async def try_(self, tool: JsonObject, arguments: JsonObject | None = None, **more: Any) -> JsonObject:
        body = {"arguments": arguments or {}, **more}
        answer = await self.call("POST", f"/tools/{tool['id']}/try", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def tried(self, arguments: JsonObject | None = None, **changes: Any) -> JsonObject:
        """What a new tool answers."""
        return await self.try_(await self.tool(**changes), arguments)

    def _made(self, answer: httpx.Response) -> JsonObject:
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
async def api(platform: Platform, ada: Account, system: FakeHttpSystem) -> Api:
    return Api(await platform.client(SERVICE), ada, system)


def details(answer: httpx.Response) -> dict[str, str]:
    """Field and code of each complaint."""
    return {each["field"]: each["code"] for each in answer.json()["error"]["details"]}
