"""The engine's `Tools` port over the catalogue."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.orchestration.adapters.tools import ProductTools
from services.orchestration.engine.ports import (
    CallFailed,
    Effect,
    Found,
    KnowledgeRequest,
    Passage,
    ToolContext,
    Usage,
)

AGENT = UUID("01890000-0000-7000-8000-00000000c001")
# What comes with the product reaches no network.
NO_OUTBOUND: Any = None


class Shelf:
    """A knowledge port with these passages."""

    def __init__(self, *passages: Passage) -> None:
        self.passages = list(passages)
        self.asked: list[tuple[UUID, KnowledgeRequest]] = []

    async def search(self, tenant_id: UUID, request: KnowledgeRequest) -> Found:
        self.asked.append((tenant_id, request))
        return Found(tuple(self.passages), Usage(3, 0))


def passage(text: str, page: int | None = None) -> Passage:
    return Passage(uuid4(), uuid4(), "handbook.pdf", uuid4(), text, 0.9, page, 0, len(text))


def context(*bases: UUID, agent_id: UUID | None = AGENT) -> ToolContext:
    return ToolContext(uuid4(), uuid4(), bases, "key", agent_id=agent_id)


def tools(shelf: Shelf) -> ProductTools:
    return ProductTools(shelf, NO_OUTBOUND)


async def test_knowledge_is_searched_in_the_bases_of_the_agent() -> None:
    shelf = Shelf(passage("Left is port.", 3), passage("Right is starboard."))
    where = context(uuid4(), uuid4())

    reply = await tools(shelf).call("knowledge_search", {"query": "left?", "top_k": 2}, where)

    assert [each["text"] for each in json.loads(reply.text)["passages"]] == ["Left is port.", "Right is starboard."]
    assert reply.usage == Usage(3, 0)
    bases = tuple(where.knowledge_base_ids)
    assert shelf.asked == [(where.tenant_id, KnowledgeRequest(bases, "left?", 2, agent_id=AGENT))]


async def test_a_node_gets_the_passages_as_they_are_read() -> None:
    shelf = Shelf(passage("Left is port.", 3), passage("Right is starboard."))
    reply = await tools(shelf).call("knowledge_search", {"query": "left?"}, context(uuid4(), agent_id=None))
    assert reply.text == "[1] handbook.pdf, page 3\nLeft is port.\n\n[2] handbook.pdf\nRight is starboard."
    assert shelf.asked[0][1].top_k == 5


async def test_without_knowledge_bases_nothing_is_searched() -> None:
    shelf = Shelf()
    assert (await tools(shelf).call("knowledge_search", {"query": "x"}, context())).text.startswith("Error: you have")
    assert shelf.asked == []


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("calculator", {"expression": "6*7"}, "42"),
        ("calculator", {"expression": "6*"}, "Error: '6*' is not"),
        ("calculator", {"expresion": "6*7"}, "Error: arguments: "),
        ("calculator", {"expression": ["6*7"]}, "Error: expression: "),
        ("text_statistics", {"text": "one two"}, '{"characters":7'),
        ("current_time", {}, "20"),
        ("current_time", {"timezone": "Mars"}, "Error: 'Mars'"),
    ],
)
async def test_pure_tools_answer_in_words_whatever_they_are_given(name: str, arguments: dict, answer: str) -> None:
    assert (await tools(Shelf()).call(name, arguments, context())).text.startswith(answer)


async def test_a_node_is_not_told_in_words_but_fails() -> None:
    with pytest.raises(CallFailed, match="is not") as failed:
        await tools(Shelf()).call("calculator", {"expression": "6*"}, context(agent_id=None))
    assert (failed.value.code, failed.value.source, failed.value.retryable) == ("tool_refused", "calculator", False)


async def test_an_unknown_tool_is_a_failure() -> None:
    all_tools = tools(Shelf())
    with pytest.raises(CallFailed) as failed:
        all_tools.describe("shell")
    assert (failed.value.code, failed.value.source, failed.value.retryable) == ("tool_unknown", "shell", False)
    with pytest.raises(CallFailed):
        await all_tools.call("shell", {}, context())


async def test_a_failing_search_is_a_failure_and_no_answer() -> None:
    class Down(Shelf):
        async def search(self, *args: object) -> Found:
            raise CallFailed("no vectors", code="unavailable", source="chroma", retryable=True)

    with pytest.raises(CallFailed, match="no vectors"):
        await tools(Down()).call("knowledge_search", {"query": "x"}, context(uuid4()))


def test_models_are_told_of_a_tool() -> None:
    spec = tools(Shelf()).describe("calculator")
    assert (spec.name, spec.effect) == ("calculator", Effect.READ)
    assert spec.parameters["required"] == ["expression"]
