"""Attempts: what is tried again, what is replayed meanwhile, and what the error says in the end."""

import asyncio
import time
from typing import Any

import pytest

from services.orchestration.engine import attempts
from services.orchestration.engine.ports import (
    CallFailed,
    CallStatus,
    CrewPlan,
    ModelReply,
    ModelRequest,
    StepCalls,
    StepFailed,
)
from services.orchestration.engine.runner import Outcome
from tests.engine.fakes import (
    FakeModels,
    MemoryLedger,
    World,
    ask,
    echo,
    eventually,
    graph,
    scripted,
    spec_of,
    task,
    transform,
)

RETRY = {"max": 2, "backoff_ms": 0}


def provider_error(**more: Any) -> CallFailed:
    given: dict[str, Any] = {"code": "provider_unavailable", "source": "Acme", "retryable": True, **more}
    return CallFailed("Acme answered 500: overloaded", **given)


def failing(times: int, error: Exception, question: str | None = None) -> FakeModels:
    """Fails the first times it is asked (that question), then echoes."""
    left = [times]

    def answer(request: ModelRequest) -> ModelReply:
        if left[0] and question in (None, request.messages[-1].content):
            left[0] -= 1
            raise error
        return echo(request)

    return FakeModels(answer)


async def run(world: World, retry: Any = RETRY, **node: Any) -> tuple[Outcome, MemoryLedger]:
    ledger = MemoryLedger(spec_of(graph(task("t", retry=retry, **node))))
    return await world.run(ledger), ledger


async def test_a_call_that_fails_is_made_again_under_the_same_key() -> None:
    world = World(models=failing(2, provider_error()))
    outcome, ledger = await run(world)
    assert outcome is Outcome.SUCCEEDED
    assert len(world.models.made) == 3
    (call,) = ledger.calls.values()
    assert (call.key, call.tries, call.status, call.error) == ("1/t/llm/0", 3, CallStatus.SUCCEEDED, None)
    step = ledger.steps["t", ""]
    assert (step.attempt, step.generation, step.error) == (3, 1, None)


async def test_without_retries_the_first_failure_counts() -> None:
    world = World(models=failing(1, provider_error()))
    outcome, ledger = await run(world, retry=None)
    assert outcome is Outcome.FAILED
    assert len(world.models.made) == 1
    assert ledger.ended is not None
    assert ledger.ended.error == {
        "code": "provider_unavailable",
        "message": "t: Acme answered 500: overloaded",
        "retryable": True,
        "node": "t",
        "source": "Acme",
        "call": "1/t/llm/0",
    }


async def test_retries_are_used_up() -> None:
    world = World(models=failing(99, provider_error()))
    outcome, ledger = await run(world)
    assert outcome is Outcome.FAILED
    assert len(world.models.made) == 3
    step = ledger.steps["t", ""]
    assert (step.attempt, step.generation) == (3, 1)
    assert (step.error or {})["source"] == "Acme"


async def test_what_cannot_be_helped_is_not_tried_again() -> None:
    world = World(models=failing(99, provider_error(retryable=False)))
    outcome, ledger = await run(world)
    assert outcome is Outcome.FAILED
    assert len(world.models.made) == 1
    assert ledger.steps["t", ""].attempt == 1


async def test_answers_got_before_a_call_failed_are_replayed() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        first = await calls.model(ask("one"))
        return first.text + (await calls.model(ask("two"))).text

    world = scripted(script, models=failing(1, provider_error(), "two"))
    outcome, ledger = await run(world)
    assert outcome is Outcome.SUCCEEDED
    assert world.models.made == ["one", "two", "two"]
    assert ledger.outputs()["t"] == {"text": "re: onere: two", "data": None, "citations": []}


async def test_failures_the_agent_lived_with_are_replayed_too() -> None:
    """The agent went on after the tool failed: on replay the tool must fail again, or the rest diverges."""

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        try:
            told = await calls.tool("search", {"q": "x"})
        except CallFailed as failure:
            told = f"error: {failure.message}"
        return (await calls.model(ask(told))).text

    def broken(arguments: Any) -> str:
        raise CallFailed("the index is down", code="tool_failed", source="search", retryable=True)

    world = scripted(script, models=failing(1, provider_error()))
    world.tools.answers["search"] = broken
    outcome, ledger = await run(world)
    assert outcome is Outcome.SUCCEEDED
    assert len(world.tools.made) == 1
    assert world.models.made == ["error: the index is down"] * 2
    assert ledger.outputs()["t"] == {"text": "re: error: the index is down", "data": None, "citations": []}


async def test_a_step_that_failed_by_itself_makes_its_calls_afresh() -> None:
    tries = 0

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        nonlocal tries
        tries += 1
        reply = await calls.model(ask("what?"))
        if tries == 1:
            raise StepFailed("that is no JSON", code="answer_invalid")
        return reply.text

    world = scripted(script)
    outcome, ledger = await run(world)
    assert outcome is Outcome.SUCCEEDED
    assert world.models.made == ["what?", "what?"]
    assert sorted(key for _, key in ledger.calls) == ["1//llm/0", "2//llm/0"]
    assert ledger.steps["t", ""].generation == 2


async def test_an_unexpected_error_says_little_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        raise KeyError("secret detail")

    outcome, ledger = await run(scripted(script))
    assert outcome is Outcome.FAILED
    step = ledger.steps["t", ""]
    assert (step.attempt, step.generation) == (3, 3)
    assert (step.error or {})["code"] == "internal_error"
    assert "secret" not in str(step.error)
    assert "KeyError" in (step.error or {})["message"]
    assert "secret detail" in caplog.text


async def test_a_port_that_breaks_its_promise_fails_the_call(caplog: pytest.LogCaptureFixture) -> None:
    outcome, ledger = await run(World(models=failing(99, RuntimeError("oops"))), retry=None)
    assert outcome is Outcome.FAILED
    (call,) = ledger.calls.values()
    assert call.status is CallStatus.FAILED
    assert (call.error or {})["message"] == "fake-model failed unexpectedly (RuntimeError)"
    assert "oops" in caplog.text


async def test_a_library_that_cancels_itself_does_not_hang_the_run() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        raise asyncio.CancelledError

    outcome, ledger = await run(scripted(script), retry=None)
    assert outcome is Outcome.FAILED
    assert (ledger.steps["t", ""].error or {})["code"] == "internal_error"


async def test_an_attempt_that_takes_too_long() -> None:
    """What was answered in time is replayed by the next attempt, which has its whole time again."""
    tries = 0

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        nonlocal tries
        tries += 1
        await calls.model(ask("quick"))
        if tries < 3:
            await asyncio.sleep(60)
        return "done"

    world = scripted(script)
    outcome, ledger = await run(world, timeout_ms=30)
    assert outcome is Outcome.SUCCEEDED
    assert tries == 3
    assert world.models.made == ["quick"]
    assert ledger.steps["t", ""].generation == 1
    outcome, ledger = await run(scripted(lambda plan, calls: asyncio.sleep(60, "")), retry=None, timeout_ms=10)
    assert outcome is Outcome.FAILED
    error = ledger.steps["t", ""].error or {}
    assert (error["code"], error["message"]) == ("timeout", "it took longer than its timeout of 0.01 s")


async def test_a_call_still_under_way_when_time_is_up_leaves_no_record() -> None:
    async def never(request: ModelRequest) -> ModelReply:
        await asyncio.sleep(60)
        raise AssertionError

    outcome, ledger = await run(World(models=FakeModels(never)), retry=None, timeout_ms=20)
    assert outcome is Outcome.FAILED
    assert ledger.calls == {}


async def test_a_timeout_of_the_steps_own_is_not_ours() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        raise TimeoutError

    outcome, ledger = await run(scripted(script), retry=None, timeout_ms=60_000)
    assert outcome is Outcome.FAILED
    assert (ledger.steps["t", ""].error or {})["code"] == "internal_error"


async def test_the_wait_doubles_and_honours_what_the_provider_asks() -> None:
    assert [attempts.wait_before(0.5, n, 0) for n in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert attempts.wait_before(30, 8, 0) == 60
    assert attempts.wait_before(0.5, 1, 7) == 7
    assert attempts.wait_before(0.5, 1, 9999) == 300
    world = World(models=failing(1, provider_error(retry_after=0.05)))
    began = time.monotonic()
    outcome, _ = await run(world)
    assert outcome is Outcome.SUCCEEDED
    assert time.monotonic() - began >= 0.05


async def test_the_stream_tells_of_attempts() -> None:
    _, ledger = await run(World(models=failing(1, provider_error())))
    wanted = ("step.started", "log", "step.finished")
    told = [(e.type, e.step.attempt if e.step else None) for e in ledger.events if e.type in wanted]
    assert told == [("step.started", 1), ("log", 1), ("step.started", 2), ("step.finished", 2)]
    (line,) = [e for e in ledger.events if e.type == "log"]
    assert line.data["level"] == "warning"
    assert "Acme answered 500" in line.data["message"]


@pytest.mark.usefixtures("lingering")
async def test_other_branches_go_on_while_a_step_waits_for_its_next_attempt() -> None:
    spec = graph(task("t", retry={"max": 1, "backoff_ms": 60_000}), task("u"), transform("v", "1"), edges=[("u", "v")])
    ledger = MemoryLedger(spec_of(spec))
    world = World(models=failing(1, provider_error()))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await eventually(lambda: ledger.statuses() == {"t": "running", "u": "succeeded", "v": "succeeded"})
    assert ledger.steps["t", ""].attempt == 2
    runner.cancel()
    assert await running is Outcome.CANCELLED
