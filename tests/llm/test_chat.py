"""Chat completions against the fake provider: text, tools, structured output, usage."""

from decimal import Decimal
from uuid import UUID

import pytest

from shared.llm.client import LanguageModels
from shared.llm.config import ModelConfig, Price
from shared.llm.errors import ProviderError
from shared.llm.settings import OpenAICompatibleSettings
from shared.llm.types import ChatRequest, Message, Tool, ToolCall
from tests.fakes.model_server import FakeModelServer
from tests.llm.conftest import Watcher, ask, config

WEATHER = Tool(
    "get_weather",
    "Get the weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("streamed", [False, True])
async def test_text_usage_and_cost(streamed: bool, models: LanguageModels, provider: FakeModelServer) -> None:
    provider.script({"answer": "Grüße, world", "usage": {"prompt_tokens": 1000, "completion_tokens": 500}})
    priced = config(OpenAICompatibleSettings(base_url=provider.base_url), price=Price(Decimal("2.50"), Decimal(10)))
    watcher = Watcher()
    reply = await models.complete(priced, ask(), watcher if streamed else None)
    assert reply.text == "Grüße, world"
    assert reply.finish_reason == "stop"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (1000, 500)
    assert reply.usage.cost == Decimal("0.0075")
    assert watcher.text() == ("Grüße, world" if streamed else "")


@pytest.mark.parametrize("told", [-1_000_000, 2**40, 1.5])
async def test_usage_that_cannot_be_is_not_believed(
    told: float, models: LanguageModels, provider: FakeModelServer
) -> None:
    """Less than nothing would be given back to budgets; too much could not be kept, nor could the answer."""
    provider.script({"answer": "Words.", "usage": {"prompt_tokens": told, "completion_tokens": 5}})
    reply = await models.complete(config(OpenAICompatibleSettings(base_url=provider.base_url)), ask())
    assert reply.text == "Words."
    assert 0 <= reply.usage.input_tokens < 2**30
    assert reply.usage.output_tokens == 5
    assert reply.usage.cost >= 0


async def test_the_request_says_what_was_asked(models: LanguageModels, provider: FakeModelServer) -> None:
    settings = OpenAICompatibleSettings(base_url=provider.base_url + "/", temperature=0.3, max_tokens=77)
    record = config(settings)
    await models.complete(record, ask("One"))
    await models.complete(record, ask("Two", temperature=0.0, max_tokens=5, stop=("END",)))
    first, second = (entry["body"] for entry in provider.journal())
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("test-model", 0.3, 77)
    assert (second["temperature"], second["max_tokens"], second["stop"]) == (0.0, 5, ["END"])
    assert first["messages"] == [
        {"role": "system", "content": "You are a tester."},
        {"role": "user", "content": "One"},
    ]
    assert provider.journal()[0]["headers"]["authorization"] == "Bearer sk-canary-key"


async def test_no_key_means_no_authorization(models: LanguageModels, provider: FakeModelServer) -> None:
    await models.complete(config(OpenAICompatibleSettings(base_url=provider.base_url), api_key=None), ask())
    assert "authorization" not in provider.journal()[0]["headers"]


async def test_reasoning_is_streamed_apart(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.script({"answer": "42", "reasoning": "six times seven"})
    watcher = Watcher()
    reply = await models.complete(compatible, ask(), watcher)
    assert (reply.text, reply.reasoning) == ("42", "six times seven")
    assert (watcher.text(), watcher.text("reasoning")) == ("42", "six times seven")
    whole = await models.complete(compatible, ask())
    assert (whole.text, whole.reasoning) == ("42", "six times seven")


@pytest.mark.parametrize("streamed", [False, True])
async def test_tool_calls(
    streamed: bool, models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.script(
        {
            "tool_calls": [
                {"id": "a", "name": "get_weather", "arguments": {"city": 'Oslo "N" {}'}},
                {"id": "b", "name": "get_weather", "arguments": {"city": "Paris"}},
            ],
            "after_tools": 0,
            "chunks": 7,
        },
        {"answer": "Rain.", "after_tools": 2},
    )
    request = ask("Weather?", tools=(WEATHER,))
    reply = await models.complete(compatible, request, Watcher() if streamed else None)
    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls == (
        ToolCall("a", "get_weather", {"city": 'Oslo "N" {}'}),
        ToolCall("b", "get_weather", {"city": "Paris"}),
    )
    told = (
        *request.messages,
        Message("assistant", "", tool_calls=reply.tool_calls),
        Message("tool", "wet", tool_call_id="a"),
        Message("tool", "dry", tool_call_id="b"),
    )
    answer = await models.complete(compatible, ChatRequest(told, tools=(WEATHER,)))
    assert answer.text == "Rain."
    sent = provider.journal()[-1]["body"]
    assert sent["tools"][0]["function"]["parameters"] == WEATHER.parameters
    assert sent["messages"][2]["tool_calls"][1]["function"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    assert sent["messages"][4] == {"role": "tool", "content": "dry", "tool_call_id": "b"}


async def test_arguments_that_are_no_json_are_tried_once_more(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    broken = {"name": "get_weather", "arguments": '{"city": '}
    provider.script({"tool_calls": [broken], "times": 1}, {"answer": "fine"})
    reply = await models.complete(compatible, ask(tools=(WEATHER,)), Watcher())
    assert reply.text == "fine"
    provider.script({"tool_calls": [{"name": "get_weather", "arguments": "[1]"}]})
    with pytest.raises(ProviderError, match="'get_weather' with arguments that are no JSON object") as failure:
        await models.complete(compatible, ask(tools=(WEATHER,)))
    assert failure.value.code == "model_output_invalid"


@pytest.mark.parametrize("way", ["json_schema", "json_object", "prompt"])
async def test_structured_output_is_parsed_and_validated(
    way: str, models: LanguageModels, provider: FakeModelServer
) -> None:
    provider.script({"answer": '```json\n{"name": "Ada", "age": 36}\n```'})
    record = config(OpenAICompatibleSettings(base_url=provider.base_url, structured_output=way))  # type: ignore[arg-type]
    reply = await models.complete(record, ask(response_schema=PERSON), Watcher())
    assert reply.data == {"name": "Ada", "age": 36}
    sent = provider.journal()[0]["body"]
    if way == "json_schema":
        assert sent["response_format"]["json_schema"]["schema"] == PERSON
    else:
        assert '"minimum":0' in sent["messages"][-1]["content"]
        assert sent.get("response_format") == ({"type": "json_object"} if way == "json_object" else None)


async def test_structured_output_is_repaired_once(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1}
    provider.script(
        {"answer": '{"name": "Ada", "age": -1}', "times": 1, "usage": usage},
        {"answer": '{"name": "Ada", "age": 36}', "usage": usage},
    )
    watcher = Watcher()
    reply = await models.complete(compatible, ask(response_schema=PERSON), watcher)
    assert reply.data == {"name": "Ada", "age": 36}
    assert reply.usage.input_tokens == 20
    told = provider.journal()[1]["body"]["messages"][-1]["content"]
    assert "answer.age" in told
    assert "minimum" in told

    provider.reset()
    provider.script({"answer": "Sorry, no."})
    with pytest.raises(ProviderError, match=r"openai_compatible .*does not fit its schema") as failure:
        await models.complete(compatible, ask(response_schema=PERSON))
    assert failure.value.code == "model_output_invalid"
    assert len(provider.journal()) == 2


async def test_an_answer_cut_off_is_not_repaired(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.script({"answer": '{"name": "A', "finish_reason": "length"})
    with pytest.raises(ProviderError, match="max_tokens"):
        await models.complete(compatible, ask(response_schema=PERSON))
    assert len(provider.journal()) == 1


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/schema.json"}, {"pattern": "(?=x)"}],
)
async def test_a_schema_that_cannot_be_used_costs_nothing(
    schema: dict[str, str], models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    with pytest.raises(ProviderError) as failure:
        await models.complete(compatible, ask(response_schema=schema))
    assert failure.value.code == "schema_invalid"
    assert provider.journal() == []


async def test_fallback_models_are_asked_in_order(models: LanguageModels, provider: FakeModelServer) -> None:
    provider.script(
        {"model": "^broken", "fault": {"kind": "error", "status": 503}},
        {
            "model": "^fine",
            "answer": "from the fallback",
            "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0},
        },
    )
    fine = config(
        OpenAICompatibleSettings(base_url=provider.base_url), model="fine", price=Price(Decimal(3), Decimal(0))
    )
    gone, broken = UUID(int=1), config(OpenAICompatibleSettings(base_url=provider.base_url), model="broken-too")
    known = {fine.id: fine, broken.id: broken}

    async def load(model_id: UUID) -> ModelConfig | None:
        return known.get(model_id)

    first = config(
        OpenAICompatibleSettings(base_url=provider.base_url, fallback_model_ids=(gone, broken.id, fine.id)),
        model="broken",
    )
    reply = await models.complete(first, ask(), load_fallback=load)
    assert reply.text == "from the fallback"
    assert reply.usage.cost == 3
    asked = [entry["body"]["model"] for entry in provider.journal()]
    assert sorted(set(asked), key=asked.index) == ["broken", "broken-too", "fine"]

    provider.script({"fault": {"kind": "error", "status": 400}})
    with pytest.raises(ProviderError, match=r"openai_compatible \(broken\): answered 400"):
        await models.complete(first, ask(), load_fallback=load)
    assert provider.journal()[-1]["body"]["model"] == "broken", "a refused request is not put to others"
