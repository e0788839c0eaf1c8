"""crewAI under the engine's own journal: the worker dies at each write, and another one goes on from the ledger."""

import pytest

from services.orchestration.engine.ports import AgentPlan, CallStatus
from services.orchestration.engine.runner import Outcome
from services.orchestration.runtimes.crewai import CrewAIRuntime
from shared.kit.json import JsonObject
from tests.crewai.calls import says
from tests.crewai.test_replay import PLAN, TOOLS, model
from tests.engine.fakes import MODEL, Crash, FakeModels, FakeTools, MemoryLedger, World, graph

CALLS = 14


def stored(agent: AgentPlan) -> JsonObject:
    return {
        "id": str(agent.id),
        "name": agent.name,
        "role": agent.role,
        "goal": agent.goal,
        "backstory": agent.backstory,
        "model_id": str(MODEL),
        "tools": list(agent.tools),
        "allow_delegation": agent.allow_delegation,
    }


def ledger() -> MemoryLedger:
    config = {
        "agent_ids": [str(agent.id) for agent in PLAN.agents],
        "tasks": [
            {
                "name": task.name,
                "description": task.description,
                "expected_output": task.expected_output,
                "agent_id": str(PLAN.agents[task.agent or 0].id),
                "context": None if task.context is None else [PLAN.tasks[index].name for index in task.context],
                "output_schema": task.output_schema,
                "markdown": task.markdown,
            }
            for task in PLAN.tasks
        ],
    }
    spec = {
        "graph": graph({"id": "crew", "type": "crew", "config": config}, outputs={"answer": "nodes.crew.output.data"}),
        "agents": {str(agent.id): stored(agent) for agent in PLAN.agents},
        "models": {str(MODEL): {"name": "scripted", "provider": "fake"}},
    }
    return MemoryLedger(spec)


def world() -> World:
    answers = {name: lambda arguments, tool=tool: tool(**arguments) for name, tool in TOOLS.items()}
    return World(FakeModels(model), FakeTools(answers=answers), agents=CrewAIRuntime())


def made(world: World) -> int:
    return len(world.models.made) + len(world.tools.made)


async def undisturbed() -> MemoryLedger:
    book, outside = ledger(), world()
    assert await outside.run(book) is Outcome.SUCCEEDED
    assert made(outside) == CALLS
    return book


async def test_a_crew_runs_to_its_end() -> None:
    book = await undisturbed()
    assert book.ended is not None
    assert book.ended.output == {"answer": {"score": 5}}
    assert sorted(key for _, key in book.calls)[:3] == [
        "1/task0.tool0/tool/0",
        "1/task0.tool1/tool/0",
        "1/task0.tool2.tool0/tool/0",
    ]


async def test_the_worker_dies_at_each_write_and_what_is_recorded_is_not_made_again() -> None:
    expected = await undisturbed()
    assert expected.ended is not None
    points = [(at, after) for at in range(len(expected.batches)) for after in (False, True)]

    for at, after_write in points:
        book = ledger()
        book.crash_at, book.crash_after_write = at, after_write
        try:
            await world().run(book)
        except Crash:
            recorded = sum(call.status is CallStatus.SUCCEEDED for call in book.calls.values())
        else:
            pytest.fail("the worker did not die")
        book.crash_at = None
        if book.ended is not None:
            continue  # it died after the very last write

        taking_over = world()
        assert await taking_over.run(book) is Outcome.SUCCEEDED
        assert made(taking_over) == CALLS - recorded, f"write {at}, after it: {after_write}"
        assert book.ended is not None
        assert book.ended.output == expected.ended.output
        assert {key for _, key in book.calls} == {key for _, key in expected.calls}
        assert {call.request_hash for call in book.calls.values()} == {
            call.request_hash for call in expected.calls.values()
        }


async def test_an_agent_without_an_answer_fails_the_step_by_its_own_fault() -> None:
    book, outside = ledger(), world()
    outside.models.answer = lambda request: says("")

    assert await outside.run(book) is Outcome.FAILED

    error = book.steps["crew", ""].error
    assert error is not None
    assert error["code"] == "answer_empty"
    assert "boss: the model gave an empty answer" in error["message"]
