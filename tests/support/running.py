"""Fixtures for tests in which executions really run: the product in one process, one worker, a scripted provider."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from shared.kit.json import JsonObject
from shared.kit.settings import Settings
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client, Product, run_product

__all__ = ["ada", "product", "provider", "provider_process"]


@pytest.fixture(scope="module")
def provider_process() -> Generator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture
def provider(provider_process: FakeModelServer) -> FakeModelServer:
    """Asked nothing yet, in this test."""
    provider_process.reset()
    return provider_process


@pytest.fixture(scope="module")
async def product(
    settings: Settings, provider_process: FakeModelServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Product]:
    async with run_product(settings, tmp_path_factory.mktemp("product"), provider_process) as running:
        yield running


@pytest.fixture
async def ada(product: Product, provider: FakeModelServer) -> Client:
    return await product.sign_up("Ada")


def asked(provider: FakeModelServer) -> list[str]:
    """What the provider was asked, by its own account: the last message of each request."""
    return [str(request["body"]["messages"][-1]["content"]) for request in provider.journal()]


def task(id_: str, agent: str, description: str, **more: Any) -> JsonObject:
    config = {"agent_id": agent, "description": description, "expected_output": "A line."}
    return {"id": id_, "type": "agent_task", "config": config, **more}


def graph(nodes: list[JsonObject], edges: list[tuple[str, str]], *inputs: str, **outputs: str) -> JsonObject:
    return {
        "spec": 1,
        "inputs": {"type": "object", "properties": {name: {"type": "string"} for name in inputs}},
        "nodes": nodes,
        "edges": [{"from": source, "to": target} for source, target in edges],
        "outputs": outputs,
    }


async def calls(client: Client, execution_id: str) -> list[JsonObject]:
    return (await client.get(f"/executions/{execution_id}/calls", limit=100))["items"]


async def refused(client: Client, path: str, body: Any = None, method: str = "POST", **headers: str) -> tuple[int, str]:
    """The status and code of an answer that is no success."""
    answer = await client.http.request(method, f"/api/v1{path}", json=body, headers=headers)
    assert not answer.is_success, answer.text
    return answer.status_code, answer.json()["error"]["code"]
