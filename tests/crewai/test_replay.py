"""What the journal promises holds through crewAI: nothing recorded is asked again, and a stop is a stop."""

import asyncio
import contextlib

import pytest

from services.orchestration.engine.ports import CrewPlan, ModelReply, ModelRequest, StepAborted
from services.orchestration.runtimes.crewai import CrewAIRuntime
from tests.crewai.calls import Journal, MemoryCalls, calls_for, says
from tests.crewai.plans import agent, one_task, task
from tests.crewai.test_delegation import delegate
from tests.crewai.test_runtime import SCHEMA

runtime = CrewAIRuntime()

# Three tasks; parallel tools, a delegation with tools of its own, a schema after tools: 14 calls in all.
PLAN = CrewPlan(
    agents=(
        agent("boss", tools=("add",), allow_delegation=True),
        agent("clerk", tools=("add", "look")),
        agent("judge", tools=("look",)),
    ),
    tasks=(task("sums"), task("story", 1, markdown=True), task("verdict", 2, context=(0,), output_schema=SCHEMA)),
)


def model(request: ModelRequest) -> ModelReply:
    """A pure function of the conversation, as a model at temperature 0 is."""
    system, turn = request.messages[0].content, len(request.messages)
    if request.response_schema:
        return ModelReply(text='{"score":5}', data={"score": 5})
    if "Senior boss." in system:
        if turn == 2:
            return calls_for(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}), delegate("Senior clerk"))
        return says("boss: " + ",".join(m.content for m in request.messages[-3:]))
    if "Senior clerk." in system:
        return calls_for(("look", {"at": "page"})) if turn == 2 else says("clerk saw " + request.messages[-1].content)
    return calls_for(("look", {"at": "verdict"})) if turn == 2 else says("five, I think")


TOOLS = {"add": lambda a, b: str(a + b), "look": lambda at: f"<{at}>"}


async def attempt(journal: Journal, die_after: int | None = None):
    calls = MemoryCalls(model, TOOLS, journal=journal, die_after=die_after)
    return calls, await runtime.run_crew(PLAN, calls)


async def test_killed_after_each_call_it_makes_each_call_once() -> None:
    undisturbed = Journal()
    _, expected = await attempt(undisturbed)
    assert len(undisturbed.made) == 14

    journal = Journal()
    attempts = 0
    result = None
    while result is None:
        attempts += 1
        with contextlib.suppress(StepAborted):
            _, result = await attempt(journal, die_after=1)

    assert result == expected
    assert attempts == len(undisturbed.made)
    assert sorted(journal.made) == sorted(undisturbed.made)
    assert len(set(journal.made)) == len(journal.made)


async def test_a_finished_crew_is_replayed_from_the_journal_alone() -> None:
    journal = Journal()
    _, first = await attempt(journal)
    calls, second = await attempt(journal, die_after=0)

    assert second == first
    assert sorted(calls.replayed) == sorted(journal.made)


async def test_a_changed_plan_does_not_replay() -> None:
    journal = Journal()
    await runtime.run_crew(one_task(), MemoryCalls(lambda _: says("x"), journal=journal))

    with pytest.raises(StepAborted, match="diverged"):
        await runtime.run_crew(
            one_task(expected_output="Something else"), MemoryCalls(lambda _: says("x"), journal=journal)
        )


@pytest.mark.parametrize("calls_before", range(14))
async def test_an_abort_comes_through_from_anywhere(calls_before: int) -> None:
    with pytest.raises(StepAborted, match="killed"):
        await attempt(Journal(), die_after=calls_before)


@pytest.mark.parametrize("where", ["model", "tool", "delegation"])
async def test_cancelling_stops_a_crew_at_once(where: str) -> None:
    reached, stopped = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    async def hanging_model(request: ModelRequest) -> ModelReply:
        clerk = "Senior clerk." in request.messages[0].content
        if where == "model" or (where == "delegation" and clerk):
            await hang()
        return model(request)

    async def hanging_tool(at: str) -> str:
        await hang()
        return at

    calls = MemoryCalls(hanging_model, {**TOOLS, "look": hanging_tool})
    before = asyncio.all_tasks()
    run = asyncio.create_task(runtime.run_crew(PLAN, calls))
    await reached.wait()
    run.cancel()

    async with asyncio.timeout(1):
        with pytest.raises(asyncio.CancelledError):
            await run
    assert stopped.is_set()
    assert asyncio.all_tasks() <= before


async def test_crews_side_by_side_do_not_mix() -> None:
    async def echo(request: ModelRequest) -> ModelReply:
        await asyncio.sleep(0.001)
        return says(request.messages[1].content.split("Do ")[1].split("\n")[0])

    async def one(number: int) -> list[str]:
        plan = CrewPlan(
            agents=(agent(f"a{number}"), agent(f"b{number}")),
            tasks=tuple(task(f"x{number}-{i}", i % 2, context=()) for i in range(3)),
        )
        result = await runtime.run_crew(plan, MemoryCalls(echo))
        return [each.text for each in result.tasks]

    results = await asyncio.gather(*(one(number) for number in range(100)))

    assert results == [[f"x{number}-{i}" for i in range(3)] for number in range(100)]
