from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.models.module import SERVICE
from shared.kit.settings import Settings
from tests.fakes.model_server import FakeModelServer
from tests.support.platform import Account, Platform, open_platform

MODELS = "/api/v1/models"
CANARY = "sk-canary-0123456789abcdef"


@pytest.fixture(scope="session")
def provider_process() -> Iterator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture
def provider(provider_process: FakeModelServer) -> FakeModelServer:
    provider_process.reset()
    return provider_process


@pytest.fixture(scope="module")
def settings(settings: Settings, provider_process: FakeModelServer) -> Settings:
    """With a local model, played by the fake provider, whose other doors may be reached too."""
    local = {"llm_base_url": provider_process.base_url, "llm_api_key": SecretStr("local-key"), "llm_model": "served"}
    return settings.model_copy(update={"allowed_hosts": "127.0.0.1:*", **local})


@pytest.fixture(scope="module")
async def platform(settings: Settings) -> AsyncGenerator[Platform]:
    async with open_platform(settings) as opened:
        yield opened


@pytest.fixture
async def client(platform: Platform) -> httpx.AsyncClient:
    return await platform.client(SERVICE)


class Api:
    """The models API as one person calls it."""

    def __init__(self, client: httpx.AsyncClient, account: Account, provider: FakeModelServer) -> None:
        self._client = client
        self._headers = account.headers
        self._provider = provider

    def body(self, **changes: Any) -> dict[str, Any]:
        settings = {"base_url": self._provider.base_url, "timeout_seconds": 0.5} | changes.pop("settings", {})
        given = {"name": "Test model", "provider": "openai_compatible", "model": "m", "settings": settings}
        return given | changes

    async def call(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        return await self._client.request(method, f"{MODELS}{path}", headers=self._headers, **options)

    async def create(self, **changes: Any) -> dict[str, Any]:
        answer = await self.call("POST", json=self.body(**changes))
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def test(self, model: dict[str, Any]) -> httpx.Response:
        return await self.call("POST", f"/{model['id']}/test")


@pytest.fixture
def api(client: httpx.AsyncClient, ada: Account, provider: FakeModelServer) -> Api:
    return Api(client, ada, provider)
