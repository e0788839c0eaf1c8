"""Waiting: a step is suspended, costs nothing, and goes on where it was, whoever answers when."""

import asyncio
from typing import Any

import pytest

from services.orchestration.engine.ports import (
    Action,
    CallStatus,
    CrewPlan,
    ExecutionStatus,
    ModelReply,
    ModelRequest,
    StepCalls,
    StepStatus,
    WaitKind,
    WaitRecord,
    WaitRequest,
    WaitStatus,
)
from services.orchestration.engine.runner import Outcome
from tests.engine.fakes import (
    Crash,
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


def question(text: str = "go on?") -> WaitRequest:
    return WaitRequest(WaitKind.QUESTION, text, {"question": text})


def said(wait: WaitRecord) -> str:
    return str(wait.answer and wait.answer.value)


async def asks(plan: CrewPlan, calls: StepCalls) -> str:
    """Two calls with a question in between."""
    first = await calls.model(ask(f"{plan.tasks[0].description} 1"))
    answer = said(await calls.wait(question()))
    second = await calls.model(ask(f"{plan.tasks[0].description} 2 {answer}"))
    return f"{first.text}|{second.text}"


def ledger_of(*nodes: Any, **more: Any) -> MemoryLedger:
    return MemoryLedger(spec_of(graph(*nodes, **more)))


# --- suspended and resumed ----------------------------------------------------------------------------------------


async def test_a_step_that_waits_lets_go_of_the_worker_and_goes_on_by_replay() -> None:
    world, ledger = scripted(asks), ledger_of(task("t", "q"))
    assert await world.run(ledger) is Outcome.WAITING
    assert (ledger.status, ledger.statuses()) == (ExecutionStatus.WAITING, {"t": "waiting"})
    (wait,) = ledger.open_waits()
    assert (wait.key, wait.kind, wait.title, wait.request) == (
        "1//wait/0",
        WaitKind.QUESTION,
        "go on?",
        {"question": "go on?"},
    )
    ledger.answer(Action.RESPOND, "yes")
    assert ledger.status is ExecutionStatus.QUEUED
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.outputs()["t"] == {"text": "re: q 1|re: q 2 yes", "data": None, "citations": []}
    assert world.models.made == ["q 1", "q 2 yes"]
    assert ledger.event_types("t") == [
        "step.started",
        "message.delta",
        "usage",
        "step.waiting",
        "step.started",
        "message.delta",
        "usage",
        "step.finished",
    ]
    assert [t.status for t in ledger.transitions] == ["waiting", "succeeded"]


async def test_what_watchers_see_of_a_wait() -> None:
    world, ledger = scripted(asks), ledger_of(task("t", "q"))
    await world.run(ledger)
    (wait,) = ledger.open_waits()
    line = next(event for event in ledger.events if event.type == "step.waiting")
    assert line.data == {
        "wait": str(wait.id),
        "kind": "question",
        "title": "go on?",
        "due_at": None,
        "request": {"question": "go on?"},
    }
    assert ledger.events[-1].data == {"status": "waiting"}


async def test_a_branch_that_waits_does_not_hold_up_the_others() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        return await asks(plan, calls) if plan.tasks[0].name == "asking" else "done"

    ledger = ledger_of(task("asking", "q"), task("other"), task("after"), edges=[("other", "after")])
    assert await scripted(script).run(ledger) is Outcome.WAITING
    assert ledger.statuses() == {"asking": "waiting", "other": "succeeded", "after": "succeeded"}


async def test_a_resume_writes_nothing_of_other_steps_that_wait() -> None:
    ledger = ledger_of(*(task(f"t{n}", f"q{n}") for n in range(3)))
    world = scripted(asks)
    assert await world.run(ledger) is Outcome.WAITING
    ledger.settle(ledger.open_waits()[1], None, WaitStatus.EXPIRED)
    writes = len(ledger.batches)
    asked = len(world.models.made)
    assert await world.run(ledger) is Outcome.WAITING
    nodes = {step.node for batch in ledger.batches[writes:] for step in batch.steps}
    assert nodes == {"t1"}
    assert {event.step.node for batch in ledger.batches[writes:] for event in batch.events if event.step} == {"t1"}
    assert len(world.models.made) == asked + 1


async def test_a_step_run_again_up_to_an_open_wait_writes_nothing() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        return said(await calls.wait(question("one"))) + said(await calls.wait(question("two")))

    world, ledger = scripted(script), ledger_of(task("t"))
    await world.run(ledger)
    ledger.answer(Action.RESPOND, "a")
    assert await world.run(ledger) is Outcome.WAITING
    writes = len(ledger.batches)
    assert await world.run(ledger) is Outcome.WAITING
    assert not any(batch.steps or batch.waits for batch in ledger.batches[writes:])
    ledger.answer(Action.RESPOND, "b")
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.outputs()["t"] == {"text": "ab", "data": None, "citations": []}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(4))
async def test_a_crash_at_any_write(write: int, after: bool) -> None:
    world, ledger = scripted(asks), ledger_of(task("t", "q"))
    ledger.crash_at, ledger.crash_after_write = write, after
    answered = False
    for _ in range(4):
        try:
            if await world.run(ledger) is Outcome.SUCCEEDED:
                break
        except Crash:
            ledger.crash_at = None
        if ledger.ended is not None:
            break
        if ledger.open_waits() and ledger.status is ExecutionStatus.WAITING:
            assert not answered
            answered = True
            ledger.answer(Action.RESPOND, "yes")
    assert ledger.outputs()["t"] == {"text": "re: q 1|re: q 2 yes", "data": None, "citations": []}
    assert len(ledger.wait_rows) == 1


async def test_two_things_asked_side_by_side() -> None:
    async def one(calls: StepCalls, name: str) -> str:
        with calls.scope(name):
            return said(await calls.wait(question(name)))

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        return "".join(await asyncio.gather(one(calls, "a"), one(calls, "b"), return_exceptions=False))

    world, ledger = scripted(script), ledger_of(task("t"))
    assert await world.run(ledger) is Outcome.WAITING
    ledger.answer(Action.RESPOND, "1")
    assert await world.run(ledger) is Outcome.WAITING
    ledger.answer(Action.RESPOND, "2")
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.outputs()["t"] == {"text": "12", "data": None, "citations": []}


async def test_a_call_beside_a_wait_gets_time_to_end() -> None:
    """Its answer is on record before the step lets go: it is not paid twice."""
    asking = asyncio.Event()

    async def slow(request: ModelRequest) -> ModelReply:
        asking.set()
        await asyncio.sleep(0.02)
        return echo(request)

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(calls.model(ask("beside")))
            await asking.wait()
            with calls.scope("ask"):
                answer = await calls.wait(question())
        return f"{call.result().text} {said(answer)}"

    world, ledger = scripted(script, models=FakeModels(slow)), ledger_of(task("t"))
    assert await world.run(ledger) is Outcome.WAITING
    assert [call.status for call in ledger.calls.values()] == [CallStatus.SUCCEEDED]
    ledger.answer(Action.RESPOND, "ok")
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert world.models.made == ["beside"]


async def test_a_library_that_swallows_everything_is_suspended_all_the_same() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        try:
            return said(await calls.wait(question()))
        except BaseException:  # noqa: BLE001
            return "swallowed"

    world, ledger = scripted(script), ledger_of(task("t"))
    assert await world.run(ledger) is Outcome.WAITING
    ledger.answer(Action.RESPOND, "ok")
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.outputs()["t"] == {"text": "ok", "data": None, "citations": []}


async def test_a_wait_that_asks_something_else_on_replay() -> None:
    asked: list[str] = []

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        asked.append("")
        return said(await calls.wait(question(f"number {len(asked)}")))

    ledger = ledger_of(task("t"))
    await scripted(script).run(ledger)
    ledger.answer(Action.RESPOND, "ok")
    assert await scripted(script).run(ledger) is Outcome.FAILED
    assert (ledger.steps["t", ""].error or {})["code"] == "journal_diverged"


async def test_a_fork_that_asks_something_else_asks_again() -> None:
    asked: list[str] = []

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        asked.append("")
        text = (await calls.model(ask(f"question {len(asked)}"))).text
        return text + said(await calls.wait(question(text)))

    world, ledger = scripted(script), ledger_of(task("t"))
    await world.run(ledger)
    ledger.answer(Action.RESPOND, "old")
    ledger.forked = True
    assert await world.run(ledger) is Outcome.WAITING
    asked.pop()
    ledger.answer(Action.RESPOND, "new")
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.outputs()["t"] == {"text": "re: question 2new", "data": None, "citations": []}
    assert world.models.made == ["question 1", "question 2"]
    assert [key for _, key in ledger.calls] == ["1//llm/0", "1//llm/0+"]


# --- while the worker still has it ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("lingering")
async def test_an_answer_reaches_a_run_that_goes_on() -> None:
    other = asyncio.Event()

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        if plan.tasks[0].name == "t":
            return await asks(plan, calls)
        await other.wait()
        return "other"

    ledger = ledger_of(task("t", "q"), task("other"), transform("after", "nodes.t.output.text"), edges=[("t", "after")])
    runner = scripted(script).runner(ledger)
    running = asyncio.create_task(runner.run())
    await eventually(lambda: len(ledger.wait_rows) == 1)
    ledger.answer(Action.RESPOND, "yes")
    runner.wake()
    runner.wake()
    await eventually(lambda: ledger.statuses().get("t") == "running")
    other.set()
    assert await running is Outcome.SUCCEEDED
    assert ledger.claims == 1


@pytest.mark.usefixtures("lingering")
async def test_an_answer_while_the_step_still_unwinds() -> None:
    unwinding = asyncio.Event()
    go = asyncio.Event()

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        try:
            return said(await calls.wait(question()))
        finally:
            unwinding.set()
            await go.wait()

    ledger = ledger_of(task("t"))
    runner = scripted(script).runner(ledger)
    running = asyncio.create_task(runner.run())
    await unwinding.wait()
    await eventually(lambda: len(ledger.wait_rows) == 1)
    ledger.answer(Action.RESPOND, "yes")
    runner.wake()
    await asyncio.sleep(0.01)
    go.set()
    assert await running is Outcome.SUCCEEDED
    assert ledger.claims == 1


@pytest.mark.usefixtures("lingering")
@pytest.mark.parametrize("turns", range(12))
async def test_an_answer_at_any_moment_is_not_missed(turns: int) -> None:
    """It comes while the run ends to wait, with or without the runner hearing of it."""
    world, ledger = scripted(asks), ledger_of(task("t", "q"))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await eventually(lambda: len(ledger.wait_rows) == 1)
    for _ in range(turns):
        await asyncio.sleep(0)
    ledger.answer(Action.RESPOND, "yes")
    runner.wake()
    outcome = await running
    if outcome is Outcome.WAITING:
        assert ledger.status is ExecutionStatus.QUEUED
        outcome = await world.run(ledger)
    assert outcome is Outcome.SUCCEEDED


async def test_a_wake_before_the_run_has_begun() -> None:
    world, ledger = scripted(asks), ledger_of(task("t", "q"))
    runner = world.runner(ledger)
    runner.wake()
    assert await runner.run() is Outcome.WAITING


async def test_a_ledger_that_cannot_be_asked_ends_the_run() -> None:
    class Deaf(MemoryLedger):
        async def waits(self) -> Any:
            raise Crash

    hold = asyncio.Event()

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        await hold.wait()
        return ""

    runner = scripted(script).runner(Deaf(spec_of(graph(task("t")))))
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(0)
    runner.wake()
    with pytest.raises(Crash):
        await running


# --- other ends ----------------------------------------------------------------------------------------------------


async def test_cancel_closes_what_is_open() -> None:
    world, ledger = scripted(asks), ledger_of(task("t", "q"))
    assert await world.run(ledger) is Outcome.WAITING
    runner = world.runner(ledger)
    runner.cancel()
    assert await runner.run() is Outcome.CANCELLED
    assert ledger.statuses() == {"t": "cancelled"}
    assert [wait.status for wait in ledger.wait_rows.values()] == [WaitStatus.CLOSED]
    assert ledger.batches[-1].waits, "in the batch that ends the execution"


async def test_a_failure_beside_it_closes_what_is_open() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        if plan.tasks[0].name == "t":
            return await asks(plan, calls)
        await calls.model(ask("x"))
        await calls.model(ask("y"))
        raise ValueError

    ledger = ledger_of(task("t", "q"), task("other"))
    assert await scripted(script).run(ledger) is Outcome.FAILED
    assert ledger.statuses() == {"t": "cancelled", "other": "failed"}
    assert [wait.status for wait in ledger.wait_rows.values()] == [WaitStatus.CLOSED]


async def test_a_pause_is_a_parking_that_lasts() -> None:
    asking = asyncio.Event()

    async def slow(request: ModelRequest) -> ModelReply:
        asking.set()
        await asyncio.sleep(0.02)
        return echo(request)

    world, ledger = World(FakeModels(slow)), ledger_of(task("t", "q"))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await asking.wait()
    runner.pause()
    assert await running is Outcome.PAUSED
    assert (ledger.status, ledger.statuses()) == (ExecutionStatus.PAUSED, {"t": "running"})
    assert ledger.events[-1].data == {"status": "paused"}
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert world.models.made == ["q"], "the call under way was waited for"


@pytest.mark.parametrize(
    ("tell", "outcome", "step"),
    [("cancel", Outcome.CANCELLED, StepStatus.CANCELLED), ("pause", Outcome.PAUSED, StepStatus.WAITING)],
)
async def test_what_is_asked_while_the_run_ends_to_wait_comes_first(
    tell: str, outcome: Outcome, step: StepStatus
) -> None:
    class Ending(MemoryLedger):
        async def write(self, batch: Any) -> None:
            if batch.waits:
                asyncio.get_running_loop().call_soon(getattr(runner, tell))
            await super().write(batch)

    ledger = Ending(spec_of(graph(task("t", "q"))))
    runner = scripted(asks).runner(ledger)
    assert await runner.run() in (outcome, Outcome.WAITING)
