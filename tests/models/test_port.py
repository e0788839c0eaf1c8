"""The engine's port to models, on real records."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from services.orchestration.adapters.models import ProviderModels
from services.orchestration.engine.ports import (
    CallFailed,
    ChatMessage,
    Delta,
    Effect,
    ModelRequest,
    ToolCall,
    ToolSpec,
)
from tests.fakes.model_server import FakeModelServer
from tests.models.conftest import CANARY, Api
from tests.support.away import database_away
from tests.support.platform import Account, Platform

WEATHER = ToolSpec(
    "get_weather", "Weather", {"type": "object", "properties": {"city": {"type": "string"}}}, Effect.READ
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def port(platform: Platform, clock: Clock) -> ProviderModels:
    resources = platform.resources
    return ProviderModels(resources.database, resources.cipher, resources.models, clock=clock)


def ask(model: dict[str, Any], **changes: Any) -> ModelRequest:
    return ModelRequest(UUID(model["id"]), (ChatMessage("user", "Hello"),), **changes)


def unseen(_: Delta) -> None:
    pass


async def test_a_reply_comes_back_with_deltas_tools_and_cost(
    port: ProviderModels, api: Api, ada: Account, provider: FakeModelServer
) -> None:
    model = await api.create(api_key=CANARY, input_price="100000", output_price="0")
    provider.script(
        {"tool_calls": [{"id": "a", "name": "get_weather", "arguments": {"city": "Oslo"}}], "after_tools": 0},
        {"answer": "Rain.", "after_tools": 1, "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    )
    first = await port.complete(ada.tenant_id, ask(model, tools=(WEATHER,)), unseen)
    assert first.tool_calls == (ToolCall("a", "get_weather", {"city": "Oslo"}),)
    told = (
        ChatMessage("user", "Weather?"),
        ChatMessage("assistant", "", first.tool_calls),
        ChatMessage("tool", "wet", tool_call_id="a"),
    )
    deltas: list[Delta] = []
    reply = await port.complete(ada.tenant_id, ModelRequest(UUID(model["id"]), told, (WEATHER,)), deltas.append)
    assert (reply.text, reply.finish_reason) == ("Rain.", "stop")
    assert "".join(delta.text for delta in deltas) == "Rain."
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cost) == (3, 4, Decimal("0.3"))
    assert provider.journal()[0]["headers"]["authorization"] == f"Bearer {CANARY}"


async def test_a_database_that_is_away_is_waited_for(port: ProviderModels, api: Api, ada: Account, platform: Platform):
    """A step that asks for its model just then does not fail."""
    made = await api.create()
    async with database_away(platform):
        asking = asyncio.create_task(port.describe(ada.tenant_id, UUID(made["id"])))
        await asyncio.sleep(0.3)
        assert not asking.done()
    assert (await asyncio.wait_for(asking, 10)).id == UUID(made["id"])


async def test_a_model_describes_itself(port: ProviderModels, api: Api, ada: Account) -> None:
    model = await api.create(name="Described", context_window=1234, supports_tools=False)
    info = await port.describe(ada.tenant_id, UUID(model["id"]))
    assert (info.name, info.context_window, info.supports_tools) == ("Described", 1234, False)


async def test_a_provider_that_fails_fails_the_call_with_its_name(
    port: ProviderModels, api: Api, ada: Account, provider: FakeModelServer
) -> None:
    model = await api.create(name="Broken", api_key=CANARY)
    provider.fail("error", status=401, message=f"bad key {CANARY}")
    with pytest.raises(CallFailed, match=r"openai_compatible \(m\): answered 401") as failure:
        await port.complete(ada.tenant_id, ask(model), unseen)
    error = failure.value
    assert (error.code, error.source, error.retryable) == ("provider_unauthorized", "openai_compatible (m)", False)
    assert error.details == {"model": "Broken", "status": 401}
    assert CANARY not in str(error)
    provider.fail("rate_limit", retry_after="99")
    with pytest.raises(CallFailed) as limited:
        await port.complete(ada.tenant_id, ask(model), unseen)
    assert (limited.value.retryable, limited.value.retry_after) == (True, 99)


async def test_other_tenants_models_are_not_there(
    port: ProviderModels, api: Api, ada: Account, bob: Account, provider: FakeModelServer
) -> None:
    model = await api.create()
    for tenant_id, model_id in ((bob.tenant_id, UUID(model["id"])), (ada.tenant_id, uuid4())):
        with pytest.raises(CallFailed, match="does not exist") as failure:
            await port.describe(tenant_id, model_id)
        assert (failure.value.code, failure.value.retryable) == ("model_missing", False)
    await port.describe(ada.tenant_id, UUID(model["id"]))
    with pytest.raises(CallFailed):
        await port.describe(bob.tenant_id, UUID(model["id"]))
    assert provider.journal() == []


async def test_fallback_models_answer_for_one_that_cannot(
    port: ProviderModels, api: Api, ada: Account, provider: FakeModelServer
) -> None:
    fallback = await api.create(name="Fallback", model="fine")
    model = await api.create(model="broken", settings={"fallback_model_ids": [fallback["id"]]})
    provider.script({"model": "broken", "fault": {"kind": "rate_limit", "retry_after": "99"}}, {"answer": "ready"})
    assert (await port.complete(ada.tenant_id, ask(model), unseen)).text == "ready"


async def test_records_are_read_once_and_changes_arrive(
    port: ProviderModels, api: Api, ada: Account, platform: Platform, clock: Clock, provider: FakeModelServer
) -> None:
    model = await api.create(api_key=CANARY)
    queries: list[str] = []
    engine = platform.resources.database.engine.sync_engine

    def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM models" in statement:
            queries.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    try:
        await asyncio.gather(*(port.complete(ada.tenant_id, ask(model), unseen) for _ in range(20)))
        assert len(queries) == 1
        await api.call("PUT", f"/{model['id']}", json=api.body(api_key="changed-key"))
        clock.now += 6
        await port.complete(ada.tenant_id, ask(model), unseen)
    finally:
        event.remove(engine, "before_cursor_execute", count)
    assert provider.journal()[-1]["headers"]["authorization"] == "Bearer changed-key"
    assert (await api.call("DELETE", f"/{model['id']}")).status_code == 204
    clock.now += 6
    with pytest.raises(CallFailed, match="does not exist"):
        await port.complete(ada.tenant_id, ask(model), unseen)
