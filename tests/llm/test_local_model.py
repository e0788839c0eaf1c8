"""The embedded language model itself, where its weights are in the cache: what only a real model can show."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.stack.llm import LanguageModel
from cli.stack.ports import find_free
from cli.stack.weights import QWEN
from shared.kit.settings import get_settings
from shared.llm.client import LanguageModels
from shared.llm.providers.registry import LocalEndpoint
from shared.llm.settings import LocalSettings, Provider
from shared.llm.types import ChatReply, ChatRequest, Message, Tool
from shared.net.policy import EgressPolicy
from tests.llm.conftest import Watcher, ask, config

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(600)]

LOCAL = config(LocalSettings(), Provider.LOCAL, api_key=None)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
GUEST = {
    "type": "object",
    "properties": {"guest": {"$ref": "#/$defs/Guest"}},
    "required": ["guest"],
    "$defs": {
        "Guest": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "nights": {"type": "integer"}},
            "required": ["name", "nights"],
        }
    },
}
SUM = {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}
TOOLS = (
    Tool("get_weather", "Get the current weather of a city", CITY),
    Tool("calculator", "Evaluate an arithmetic expression", SUM),
    Tool("book_room", "Book a hotel room for a guest", GUEST),
)


@pytest.fixture(scope="module")
def weights() -> Path:
    path = QWEN.path(get_settings().cache)
    if not path.exists():
        pytest.skip("the language model's weights are not in the cache")
    return path


@pytest.fixture(scope="module")
async def local(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LanguageModels]:
    log = tmp_path_factory.mktemp("llm") / "llm.log"
    server = LanguageModel(weights, model="local-llm", port=find_free(), api_key="key", log=log)
    await server.start()
    endpoint = LocalEndpoint(server.url, "key", "local-llm")
    models = LanguageModels(EgressPolicy.from_setting("", server.url), endpoint)
    yield models
    await models.close()
    await server.stop()


async def choose(models: LanguageModels, question: str) -> ChatReply:
    return await models.complete(LOCAL, ask(question, tools=TOOLS, temperature=0, max_tokens=120))


@pytest.mark.parametrize(
    ("question", "tool", "told"),
    [
        ("What is the weather in Paris?", "get_weather", "Paris"),
        ("What is 23*19?", "calculator", "23"),
        ("Book a room for Ada Lovelace for 3 nights.", "book_room", "Ada"),
    ],
)
async def test_it_picks_the_right_tool(local: LanguageModels, question: str, tool: str, told: str) -> None:
    (call,) = (await choose(local, question)).tool_calls
    assert call.name == tool
    assert told in str(call.arguments)


async def test_it_answers_when_it_has_the_result(local: LanguageModels) -> None:
    asked = ask("What is the weather in Paris?", tools=TOOLS, temperature=0, max_tokens=120)
    call = (await local.complete(LOCAL, asked)).tool_calls[0]
    told = (
        *asked.messages,
        Message("assistant", "", (call,)),
        Message("tool", "18 degrees and sunny", tool_call_id=call.id),
    )
    watcher = Watcher()
    reply = await local.complete(LOCAL, ChatRequest(told, TOOLS, temperature=0, max_tokens=120), watcher)
    assert reply.tool_calls == ()
    assert "18" in reply.text
    assert watcher.text() == reply.text
    assert len(watcher.deltas) > 3
    assert reply.usage.input_tokens > 50


async def test_it_answers_by_schema(local: LanguageModels) -> None:
    schema = {
        "type": "object",
        "properties": {"sentiment": {"enum": ["good", "bad"]}, "words": {"type": "integer", "minimum": 0}},
        "required": ["sentiment", "words"],
        "additionalProperties": False,
    }
    request = ask("Classify: 'I love it, best day ever!'", response_schema=schema, temperature=0, max_tokens=100)
    reply = await local.complete(LOCAL, request, Watcher())
    assert isinstance(reply.data, dict)
    assert reply.data["sentiment"] == "good"
