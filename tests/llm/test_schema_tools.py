"""The local model: tool calls by schema, told and read back."""

import jsonschema
import pytest

from shared.llm.client import LanguageModels
from shared.llm.errors import ProviderError
from shared.llm.providers.schema_tools import FINAL_ANSWER
from shared.llm.settings import LocalSettings, OpenAICompatibleSettings, Provider
from shared.llm.types import ChatRequest, Message, Tool, ToolCall
from tests.fakes.model_server import FakeModelServer
from tests.llm.conftest import Watcher, ask, config

WEATHER = Tool("get_weather", "Weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}})
NESTED = Tool(
    "book",
    "Book a room",
    {
        "type": "object",
        "properties": {"guest": {"$ref": "#/$defs/Guest"}},
        "$defs": {"Guest": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
)
LOCAL = config(LocalSettings(timeout_seconds=1), Provider.LOCAL, api_key=None, model="as-recorded")


async def test_a_tool_is_chosen_by_schema(models: LanguageModels, provider: FakeModelServer) -> None:
    provider.script({"tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]})
    watcher = Watcher()
    reply = await models.complete(LOCAL, ask("Weather?", tools=(WEATHER, NESTED)), watcher)
    assert reply.tool_calls == (ToolCall("call_1", "get_weather", {"city": "Oslo"}),)
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")
    assert watcher.deltas == [], "the JSON of a choice is nothing to read"

    sent = provider.journal()[0]
    assert sent["headers"]["authorization"] == "Bearer local-key"
    body = sent["body"]
    assert body["model"] == "served-name", "the installation knows what its server calls the model"
    assert "tools" not in body
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert "get_weather(city): Weather of a city" in body["messages"][0]["content"]
    assert "You are a tester." in body["messages"][0]["content"]
    schema = body["response_format"]["json_schema"]["schema"]
    jsonschema.validate({"name": "get_weather", "arguments": {"city": "x"}}, schema)
    jsonschema.validate({"name": "book", "arguments": {"guest": {"name": "Ada"}}}, schema)
    jsonschema.validate({"name": FINAL_ANSWER, "arguments": {"text": "x"}}, schema)
    for wrong in ({"name": "book", "arguments": {"guest": {"name": 5}}}, {"name": "other", "arguments": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


async def test_the_final_answer_streams_as_text(models: LanguageModels, provider: FakeModelServer) -> None:
    provider.script({"answer": 'Said "hi" \\ äöü 🙂\nand left.', "chunks": 40})
    watcher = Watcher()
    reply = await models.complete(LOCAL, ask(tools=(WEATHER,)), watcher)
    assert reply.text == 'Said "hi" \\ äöü 🙂\nand left.'
    assert reply.tool_calls == ()
    assert watcher.text() == reply.text
    assert len(watcher.deltas) > 10


async def test_earlier_calls_are_told_as_text(models: LanguageModels, provider: FakeModelServer) -> None:
    call = ToolCall("call_1", "get_weather", {"city": "Oslo"})
    messages = (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("assistant", "", (call,)),
        Message("tool", "Rain", tool_call_id="call_1"),
    )
    provider.script({"tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]})
    reply = await models.complete(LOCAL, ChatRequest(messages, tools=(WEATHER,)))
    assert reply.tool_calls[0].id == "call_2", "ids stay apart within a conversation"
    told = provider.journal()[0]["body"]["messages"]
    assert told[2] == {"role": "assistant", "content": '{"name":"get_weather","arguments":{"city":"Oslo"}}'}
    assert told[3] == {"role": "user", "content": "Result of get_weather:\nRain"}
    await models.complete(LOCAL, ChatRequest(messages))
    plain = provider.journal()[1]["body"]
    assert [m["role"] for m in plain["messages"]] == ["system", "user", "assistant", "user"]
    assert "response_format" not in plain


async def test_tools_and_a_schema_together(models: LanguageModels, provider: FakeModelServer) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    provider.script({"data": {"n": 5}})
    reply = await models.complete(LOCAL, ask(tools=(WEATHER,), response_schema=schema), Watcher())
    assert reply.data == {"n": 5}


async def test_a_choice_that_makes_no_sense_is_an_error(models: LanguageModels, provider: FakeModelServer) -> None:
    provider.script({"tool_calls": [{"name": "rm", "arguments": {}}]})
    with pytest.raises(ProviderError, match="not offered: 'rm'"):
        await models.complete(LOCAL, ask(tools=(WEATHER,)))
    assert len(provider.journal()) == 2


async def test_any_server_can_be_used_that_way(models: LanguageModels, provider: FakeModelServer) -> None:
    provider.script({"tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]})
    record = config(OpenAICompatibleSettings(base_url=provider.base_url, tool_calls="schema"))
    reply = await models.complete(record, ask(tools=(WEATHER,)))
    assert reply.tool_calls[0].name == "get_weather"
    assert "tools" not in provider.journal()[0]["body"]
