"""The vendors' own chat models, over the wire: OpenAI's against the fake provider, the others against theirs."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.llm.client import LanguageModels
from shared.llm.config import ModelConfig
from shared.llm.errors import ProviderError
from shared.llm.providers import transports
from shared.llm.settings import (
    AnthropicSettings,
    GoogleSettings,
    OllamaSettings,
    OpenAISettings,
    Provider,
    ProviderSettings,
)
from shared.llm.types import ChatRequest, Message, Tool
from tests.fakes.model_server import FakeModelServer
from tests.llm.conftest import QUICK, Watcher, ask, config
from tests.llm.vendor_server import VendorServer, vendor_server

WEATHER = Tool(
    "get_weather", "Weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
SETTINGS: dict[Provider, Any] = {
    Provider.ANTHROPIC: AnthropicSettings,
    Provider.GOOGLE: GoogleSettings,
    Provider.OLLAMA: OllamaSettings,
}
KEY_HEADERS = {
    Provider.OPENAI: ("authorization", "Bearer sk-canary-key"),
    Provider.ANTHROPIC: ("x-api-key", "sk-canary-key"),
    Provider.GOOGLE: ("x-goog-api-key", "sk-canary-key"),
    Provider.OLLAMA: ("authorization", "Bearer sk-canary-key"),
}


@pytest.fixture
async def vendor() -> AsyncIterator[VendorServer]:
    async with vendor_server() as server:
        yield server


def of(provider: Provider, url: str, **settings: Any) -> ModelConfig:
    made: ProviderSettings = SETTINGS[provider](base_url=url, timeout_seconds=1, **settings)
    return config(made, provider, model="claude-x" if provider is Provider.ANTHROPIC else "some-model")


@pytest.mark.parametrize("provider_name", SETTINGS)
async def test_text_is_streamed_with_usage(
    provider_name: Provider, models: LanguageModels, vendor: VendorServer
) -> None:
    watcher = Watcher()
    request = ask(temperature=0.5, max_tokens=99, stop=("END",))
    reply = await models.complete(of(provider_name, vendor.url), request, watcher)
    assert (reply.text, reply.finish_reason) == ("Hello there", "stop")
    assert watcher.text() == "Hello there"
    assert len(watcher.deltas) == 2
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (11, 7)
    _, headers, body = vendor.requests[0]
    header, value = KEY_HEADERS[provider_name]
    assert headers[header] == value
    sent = json.dumps(body)
    for expected in ("0.5", "99", "END", "You are a tester.", "Hello"):
        assert expected in sent


@pytest.mark.parametrize("provider_name", SETTINGS)
async def test_tools_go_there_and_back(provider_name: Provider, models: LanguageModels, vendor: VendorServer) -> None:
    vendor.tool = ("get_weather", {"city": "Oslo"})
    record = of(provider_name, vendor.url)
    request = ask("Weather?", tools=(WEATHER,))
    reply = await models.complete(record, request, Watcher())
    (call,) = reply.tool_calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Oslo"})
    assert call.id
    assert "get_weather" in json.dumps(vendor.requests[0][2]["tools"])
    vendor.tool = None
    told = (*request.messages, Message("assistant", "", (call,)), Message("tool", "Rain", tool_call_id=call.id))
    assert (await models.complete(record, ChatRequest(told, tools=(WEATHER,)), Watcher())).text == "Hello there"
    assert "Rain" in json.dumps(vendor.requests[1][2])


@pytest.mark.parametrize("provider_name", SETTINGS)
async def test_structured_output_is_asked_for_natively(
    provider_name: Provider, models: LanguageModels, vendor: VendorServer
) -> None:
    vendor.text = '{"n": 5}'
    reply = await models.complete(of(provider_name, vendor.url), ask(response_schema=SCHEMA), Watcher())
    assert reply.data == {"n": 5}
    assert '"integer"' in json.dumps(vendor.requests[0][2]).lower()


@pytest.mark.parametrize("provider_name", SETTINGS)
async def test_an_answer_that_breaks_off_is_an_error(
    provider_name: Provider, models: LanguageModels, vendor: VendorServer
) -> None:
    vendor.cut = True
    with pytest.raises(ProviderError, match=f"{provider_name} .*(broke off|cannot be read)") as failure:
        await models.complete(of(provider_name, vendor.url), ask(), Watcher())
    assert failure.value.retryable
    assert len(vendor.requests) == QUICK.attempts


@pytest.mark.parametrize("provider_name", SETTINGS)
@pytest.mark.parametrize(("status", "tries"), [(429, QUICK.attempts), (500, QUICK.attempts), (401, 1), (404, 1)])
async def test_retries_happen_in_one_place_only(
    provider_name: Provider, status: int, tries: int, models: LanguageModels, vendor: VendorServer
) -> None:
    vendor.status = status
    with pytest.raises(ProviderError, match=rf"{provider_name} .*answered {status}: not today") as failure:
        await models.complete(of(provider_name, vendor.url), ask(), Watcher())
    assert failure.value.status == status
    assert failure.value.retry_after == 0.2
    assert len(vendor.requests) == tries


@pytest.mark.parametrize("provider_name", SETTINGS)
async def test_silence_is_bounded(provider_name: Provider, models: LanguageModels, vendor: VendorServer) -> None:
    vendor.hang = True
    record = of(provider_name, vendor.url, deadline_seconds=1.2)
    with pytest.raises(ProviderError, match="did not answer in time"):
        await models.complete(record, ask(), Watcher())


@pytest.mark.parametrize("provider_name", [*SETTINGS, Provider.OPENAI])
async def test_nothing_comes_from_the_environment(
    provider_name: Provider,
    models: LanguageModels,
    vendor: VendorServer,
    provider: FakeModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stray = "http://127.0.0.1:9"
    for name, value in {
        "OPENAI_API_KEY": "env-canary",
        "OPENAI_ORG_ID": "env-canary",
        "OPENAI_PROJECT_ID": "env-canary",
        "OPENAI_CUSTOM_HEADERS": "X-Extra: env-canary",
        "OPENAI_BASE_URL": stray,
        "OPENAI_API_BASE": stray,
        "OPENAI_PROXY": stray,
        "ANTHROPIC_API_KEY": "env-canary",
        "ANTHROPIC_AUTH_TOKEN": "env-canary",
        "ANTHROPIC_CUSTOM_HEADERS": "X-Extra: env-canary",
        "ANTHROPIC_BASE_URL": stray,
        "ANTHROPIC_API_URL": stray,
        "ANTHROPIC_PROXY": stray,
        "GOOGLE_API_KEY": "env-canary",
        "GEMINI_API_KEY": "env-canary",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GEMINI_BASE_URL": stray,
        "GOOGLE_CLOUD_PROJECT": "env-canary",
        "OLLAMA_API_KEY": "env-canary",
        "OLLAMA_HOST": stray,
        "HTTP_PROXY": stray,
        "http_proxy": stray,
        "ALL_PROXY": stray,
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": "env-canary",
        "LANGSMITH_ENDPOINT": stray,
    }.items():
        monkeypatch.setenv(name, value)
    if provider_name is Provider.OPENAI:
        record = config(OpenAISettings(base_url=provider.base_url), Provider.OPENAI)
    else:
        record = of(provider_name, vendor.url)
    reply = await models.complete(record, ask(), Watcher())
    assert reply.text
    if provider_name is Provider.OPENAI:
        entry = provider.journal()[0]
        headers: dict[str, str] = entry["headers"]
        sent = json.dumps(entry["body"])
    else:
        path, headers, body = vendor.requests[0]
        sent = path + json.dumps(body)
    assert "env-canary" not in sent + json.dumps(headers)
    header, value = KEY_HEADERS[provider_name]
    assert headers[header] == value


@pytest.mark.parametrize("streamed", [False, True])
async def test_openai(streamed: bool, models: LanguageModels, provider: FakeModelServer) -> None:
    settings = OpenAISettings(base_url=provider.base_url, organization="org-1", project="proj-1")
    record = config(settings, Provider.OPENAI, model="gpt-4o-mini")
    watcher = Watcher() if streamed else None
    provider.script(
        {"tool_calls": [{"id": "a", "name": "get_weather", "arguments": {"city": "Oslo"}}], "times": 1},
        {"data": {"n": 5}},
    )
    reply = await models.complete(record, ask(tools=(WEATHER,), max_tokens=50), watcher)
    assert reply.tool_calls[0].arguments == {"city": "Oslo"}
    assert reply.finish_reason == "tool_calls"
    assert reply.usage.input_tokens > 0
    reply = await models.complete(record, ask(response_schema=SCHEMA), watcher)
    assert reply.data == {"n": 5}
    assert provider.journal()[0]["headers"]["openai-organization"] == "org-1"
    assert provider.journal()[1]["body"]["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize("kind", ["rate_limit", "error", "garbage", "truncate", "drop", "hang", "close"])
async def test_openai_misbehaving(kind: str, models: LanguageModels, provider: FakeModelServer) -> None:
    settings = OpenAISettings(base_url=provider.base_url, timeout_seconds=0.5, deadline_seconds=20)
    record = config(settings, Provider.OPENAI)
    provider.script({"fault": {"kind": kind}, "times": 1}, {"answer": "all is well"})
    watcher = Watcher()
    assert (await models.complete(record, ask(), watcher)).text == "all is well"
    assert len(provider.journal()) == 2
    provider.fail(kind)
    with pytest.raises(ProviderError, match=r"openai \(test-model\): ") as failure:
        await models.complete(record, ask(), watcher)
    assert failure.value.retryable
    assert len(provider.journal()) == 2 + QUICK.attempts


@pytest.mark.parametrize("provider_name", SETTINGS)
async def test_bodies_are_bounded(
    provider_name: Provider, models: LanguageModels, vendor: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "MAX_ANSWER_BYTES", 2000)
    vendor.text = "x" * 5000
    with pytest.raises(ProviderError, match="more than 2000 bytes"):
        await models.complete(of(provider_name, vendor.url), ask(), Watcher())
    vendor.text, vendor.compressed = "Hello there", True
    with pytest.raises(ProviderError, match="compressed"):
        await models.complete(of(provider_name, vendor.url), ask(), Watcher())
