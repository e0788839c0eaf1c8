"""An agent is told what stock crewAI would tell it: both run the same crew, and what their models hear is compared."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Process, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool as crewai_tool
from pydantic import PrivateAttr

from services.orchestration.engine.ports import ChatMessage, CrewPlan, ModelReply
from services.orchestration.runtimes.crewai import CrewAIRuntime
from tests.crewai.calls import MODEL_ID, MemoryCalls, calls_for, says, script
from tests.crewai.plans import agent, task


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stock crewAI writes what a crew put out into a file, wherever it may."""
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))


class Stock(BaseLLM):
    """Gives stock crewAI the same answers, and keeps what it was asked."""

    _answers: list[Any] = PrivateAttr()
    _native: bool = PrivateAttr()
    _heard: list[list[tuple[str, str]]] = PrivateAttr(default_factory=list)

    @classmethod
    def answering(cls, *replies: ModelReply, native: bool) -> "Stock":
        model = cls(model="stock")
        model._native, model._answers = native, [_as_crewai(reply) for reply in replies]
        return model

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self._heard.append([(message["role"], message["content"] or "") for message in messages])
        return self._answers.pop(0)

    def supports_function_calling(self) -> bool:
        return self._native

    def get_input_tokens_count(self, *_: Any) -> int:
        return 1

    def get_context_window_size(self) -> int:
        return 100_000


def _as_crewai(reply: ModelReply) -> Any:
    if not reply.tool_calls:
        return reply.text
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.tool_calls
    ]


@crewai_tool("look")
def look(at: str) -> str:
    """The look tool"""
    return f"<{at}>"


LOOK_PARAMETERS = {
    "properties": {"at": {"title": "At", "type": "string"}},
    "required": ["at"],
    "title": "Look",
    "type": "object",
    "additionalProperties": False,
}


def stock_crew(plan: CrewPlan, model: Stock) -> Crew:
    def make(each: Any) -> Agent:
        return Agent(
            role=each.role,
            goal=each.goal,
            backstory=each.backstory,
            llm=model,
            tools=[look] if each.tools else [],
            allow_delegation=each.allow_delegation,
            max_iter=each.max_iterations,
        )

    agents = [make(each) for each in plan.agents]
    tasks: list[Task] = []
    for each in plan.tasks:
        given = {} if each.context is None else {"context": [tasks[index] for index in each.context]}
        tasks.append(
            Task(
                description=each.description,
                expected_output=each.expected_output,
                agent=None if each.agent is None else agents[each.agent],
                markdown=each.markdown,
                **given,
            )
        )
    manager = {} if plan.manager is None else {"manager_agent": make(plan.manager)}
    if plan.manager_model_id is not None:
        manager = {"manager_llm": model}
    return Crew(agents=agents, tasks=tasks, process=Process(plan.process), tracing=False, **manager)


def heard(messages: list[ChatMessage]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


async def both_hear_the_same(plan: CrewPlan, *replies: ModelReply, native: bool = True) -> None:
    stock = Stock.answering(*replies, native=native)
    expected = await asyncio.to_thread(stock_crew(plan, stock).kickoff)

    calls = MemoryCalls(script(*replies), {"look": lambda at: f"<{at}>"}, supports_tools=native)
    calls.describe_tool = lambda name: replace(MemoryCalls.describe_tool(calls, name), parameters=LOOK_PARAMETERS)
    result = await CrewAIRuntime().run_crew(plan, calls)

    assert [heard(made.messages) for made in calls.requests] == stock._heard
    assert result.text == expected.raw


@pytest.mark.parametrize("markdown", [False, True])
async def test_tasks_without_tools(markdown: bool) -> None:
    plan = CrewPlan(
        agents=(agent("researcher"), agent("writer", backstory="")),
        tasks=(task("a", 0), task("b", 1, markdown=markdown), task("c", 0, context=(1,)), task("d", 1, context=())),
    )
    await both_hear_the_same(plan, says("one"), says("two\n"), says("three"), says("four"))


async def test_native_tools() -> None:
    plan = CrewPlan(agents=(agent("reader", tools=("look",)),), tasks=(task("a"), task("b")))
    await both_hear_the_same(
        plan,
        calls_for(("look", {"at": "x"})),
        calls_for(("look", {"at": "y"}), ("look", {"at": "z"})),
        says("seen"),
        says("again"),
    )


async def test_tools_in_text() -> None:
    plan = CrewPlan(agents=(agent("reader", tools=("look",)),), tasks=(task("a"),))
    await both_hear_the_same(
        plan,
        says('Thought: hm\nAction: look\nAction Input: {"at": "x"}'),
        says("Thought: I know\nFinal Answer: seen"),
        native=False,
    )


async def test_out_of_iterations() -> None:
    plan = CrewPlan(agents=(agent("reader", tools=("look",), max_iterations=1),), tasks=(task("a"),))
    await both_hear_the_same(plan, calls_for(("look", {"at": "x"})), says("enough"))


@pytest.mark.parametrize("tool", ["delegate_work_to_coworker", "ask_question_to_coworker"])
async def test_delegation(tool: str) -> None:
    plan = CrewPlan(
        agents=(agent("boss", allow_delegation=True), agent("clerk", tools=("look",))), tasks=(task("a"), task("b", 1))
    )
    work = {"task": "sums", "question": "sums?", "context": "all of it", "coworker": "senior clerk"}
    await both_hear_the_same(plan, calls_for((tool, work)), says("42"), says("fine"), says("end"))


@pytest.mark.parametrize("manager", [{"manager": agent("head")}, {"manager_model_id": MODEL_ID}], ids=["own", "stock"])
async def test_a_manager(manager: dict[str, Any]) -> None:
    plan = CrewPlan(
        agents=(agent("clerk"), agent("writer")),
        tasks=(task("sums", 0), task("story", None)),
        process="hierarchical",
        **manager,
    )
    sums = {"task": "sums", "context": "none", "coworker": "Senior clerk"}
    story = {"question": "who?", "context": "none", "coworker": "Senior nobody"}
    await both_hear_the_same(
        plan,
        calls_for(("delegate_work_to_coworker", sums)),
        says("42"),
        says("first"),
        calls_for(("ask_question_to_coworker", story)),
        says("second"),
    )
