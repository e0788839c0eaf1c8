"""A person is asked in the middle of an agent's work, which then goes on by replay: no call is made twice."""

import pytest

from services.orchestration.engine.ports import Action, Answer, ModelReply, ModelRequest, WaitKind
from services.orchestration.engine.runner import Outcome
from services.orchestration.runtimes.crewai import CrewAIRuntime
from shared.kit.json import JsonObject
from tests.crewai.calls import calls_for, says
from tests.crewai.plans import agent
from tests.crewai.test_delegation import delegate
from tests.crewai.test_engine import stored
from tests.engine.fakes import MODEL, FakeModels, FakeTools, MemoryLedger, ToolAnswer, World, graph

ACCEPTED = Answer(Action.ACCEPT)
BOSS = agent("boss", tools=("look",), allow_delegation=True)
CLERK = agent("clerk", tools=("look", "send", "pay"), approve_tools=("send",))


def model(request: ModelRequest) -> ModelReply:
    """The clerk reads, sends and pays in one turn; the boss has two clerks' work done in one turn."""
    system, turn = request.messages[0].content, len(request.messages)
    if "Senior boss." in system:
        if turn == 2:
            return calls_for(delegate("Senior clerk", "first"), delegate("Senior clerk", "second"))
        return says("boss: " + " / ".join(m.content for m in request.messages[-2:]))
    if turn == 2:
        which = "second" if "second" in request.messages[1].content else "first"
        return calls_for(("look", {"at": which}), ("send", {"to": which}), ("pay", {"to": which}))
    return says("clerk: " + ", ".join(m.content for m in request.messages[-3:]))


def _says(name: str) -> ToolAnswer:
    return lambda arguments: f"{name} {arguments}"


def world() -> World:
    answers = {name: _says(name) for name in ("look", "send", "pay")}
    return World(FakeModels(model), FakeTools(answers=answers, approved={"pay"}), agents=CrewAIRuntime())


def ledger(node: JsonObject) -> MemoryLedger:
    agents = {str(each.id): {**stored(each), "approve_tools": list(each.approve_tools)} for each in (BOSS, CLERK)}
    models = {str(MODEL): {"name": "scripted", "provider": "fake"}}
    return MemoryLedger({"graph": graph({"id": "n", **node}), "agents": agents, "models": models})


AGENT_TASK: JsonObject = {
    "type": "agent_task",
    "config": {"agent_id": str(CLERK.id), "description": "work", "expected_output": "words"},
}
CREW: JsonObject = {
    "type": "crew",
    "config": {
        "agent_ids": [str(BOSS.id), str(CLERK.id)],
        "tasks": [
            {"name": "work", "description": "work", "expected_output": "words", "agent_id": str(BOSS.id)},
        ],
    },
}


async def test_an_agent_task_stops_at_each_call_that_needs_it_and_goes_on() -> None:
    book, outside = ledger(AGENT_TASK), world()
    assert await outside.run(book) is Outcome.WAITING
    (wait,) = book.open_waits()
    assert (wait.kind, wait.title) == (WaitKind.TOOL_APPROVAL, "clerk wants to use send")
    assert [name for name, _ in outside.tools.made] == ["look"]
    book.answer(Action.EDIT, {"to": "somebody else"})
    assert await outside.run(book) is Outcome.WAITING
    book.answer(Action.IGNORE)
    assert await outside.run(book) is Outcome.SUCCEEDED
    output = book.outputs()["n"]
    assert output == {
        "text": "clerk: look {'at': 'first'}, send {'to': 'somebody else'}, A person declined this call.",
        "data": None,
        "citations": [],
    }
    assert [name for name, _ in outside.tools.made] == ["look", "send"]
    assert len(outside.models.made) == 2


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_crew_with_two_clerks_side_by_side(at_once: bool) -> None:
    """All that a worker does between two answers is done once, in whatever order they come."""
    book, outside = ledger(CREW), world()
    answered = 0
    while await outside.run(book) is Outcome.WAITING:
        waits = book.open_waits()
        assert waits
        for wait in waits if at_once else waits[-1:]:
            answered += 1
            book.settle(wait, ACCEPTED)
    assert book.ended is not None
    assert answered == 4
    tools = sorted((name, arguments["to" if "to" in arguments else "at"]) for name, arguments in outside.tools.made)
    assert tools == [(name, which) for name in ("look", "pay", "send") for which in ("first", "second")]
    assert len(outside.models.made) == 2 + 2 * 2, "no question is asked twice"
