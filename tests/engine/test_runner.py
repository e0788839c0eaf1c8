"""A claimed execution: its end, cancel, parking and takeover, losing the lease, a ledger that fails."""

import asyncio
import gc
from typing import Any
from uuid import UUID

import pytest

from services.orchestration.engine import runner as runner_module
from services.orchestration.engine.ports import (
    CrewPlan,
    ExecutionStatus,
    ModelReply,
    ModelRequest,
    StepCalls,
    StepRecord,
    StepStatus,
    Superseded,
)
from services.orchestration.engine.runner import ExecutionRunner, Outcome
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

CHAIN = graph(task("a", "one"), task("b", "two"), transform("c", "nodes.b.output.text"), edges=[("a", "b"), ("b", "c")])


class Held:
    """A crew that holds in the named step until it is let go, or stopped."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.stopped = False

    async def __call__(self, plan: CrewPlan, calls: StepCalls) -> str:
        reply = await calls.model(ask(plan.tasks[0].description))
        if plan.tasks[0].name == self.at:
            self.reached.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.stopped = True
                raise
        return reply.text


async def start(world: World, ledger: MemoryLedger, held: Held) -> tuple[ExecutionRunner, asyncio.Task[Outcome]]:
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await asyncio.wait_for(held.reached.wait(), 5)
    return runner, running


# --- the end ------------------------------------------------------------------------------------------------------


async def test_the_stream_begins_and_ends() -> None:
    ledger = MemoryLedger(spec_of(CHAIN))
    assert await World().run(ledger) is Outcome.SUCCEEDED
    first, last = ledger.events[0], ledger.events[-1]
    assert (first.type, first.data) == ("execution.status", {"status": "running"})
    assert (last.type, last.data) == ("done", {"status": "succeeded", "output": {"c": "re: two"}, "error": None})
    assert ledger.events[-2].data == {"status": "succeeded"}
    assert [t.status for t in ledger.transitions] == [ExecutionStatus.SUCCEEDED]


@pytest.mark.parametrize(
    ("spec", "kind", "code"),
    [
        ({}, "workflow", "graph_invalid"),
        ({"graph": {"nodes": []}}, "workflow", "graph_invalid"),
        ({"graph": graph({"id": "x", "type": "teleport"})}, "workflow", "graph_invalid"),
        ({"graph": graph(transform("a", "1 +"))}, "workflow", "graph_invalid"),
        ({"graph": graph(transform("a", "1"), edges=[("a", "b")])}, "workflow", "graph_invalid"),
        (spec_of(CHAIN), "teleport", "kind_unknown"),
    ],
)
async def test_what_cannot_be_run_fails(spec: Any, kind: str, code: str) -> None:
    ledger = MemoryLedger(spec, kind=kind)
    assert await World().run(ledger) is Outcome.FAILED
    assert ledger.ended is not None
    assert (ledger.ended.error or {})["code"] == code
    assert ledger.events[-1].type == "done"


async def test_an_agent_that_is_not_in_the_snapshot() -> None:
    ledger = MemoryLedger({**spec_of(CHAIN), "agents": {}})
    assert await World().run(ledger) is Outcome.FAILED
    assert (ledger.steps["a", ""].error or {})["code"] == "agent_missing"


async def test_agent_jobs_are_graphs_too() -> None:
    ledger = MemoryLedger(spec_of(CHAIN), kind="agent_job")
    assert await World().run(ledger) is Outcome.SUCCEEDED


# --- cancel -------------------------------------------------------------------------------------------------------


async def test_cancel_stops_what_runs_and_starts_nothing_more() -> None:
    held = Held("a")
    world = scripted(held)
    ledger = MemoryLedger(spec_of(CHAIN))
    runner, running = await start(world, ledger, held)
    runner.cancel()
    assert await running is Outcome.CANCELLED
    assert held.stopped
    assert ledger.statuses() == {"a": "cancelled"}
    assert ledger.steps["a", ""].finished_at is not None
    assert [t.status for t in ledger.transitions] == [ExecutionStatus.CANCELLED]
    assert ledger.events[-1].data["status"] == "cancelled"
    assert len(ledger.calls) == 1, "what was answered stays on record: it was paid"


async def test_cancel_before_anything_ran() -> None:
    ledger = MemoryLedger(spec_of(CHAIN))
    world = World()
    runner = world.runner(ledger)
    runner.cancel()
    assert await runner.run() is Outcome.CANCELLED
    assert ledger.steps == {}
    assert world.models.made == []


async def test_cancel_after_a_takeover_closes_the_steps_that_were_open() -> None:
    world = World()
    ledger = MemoryLedger(spec_of(CHAIN))
    ledger.crash_at = 1
    with pytest.raises(Crash):
        await world.run(ledger)
    ledger.crash_at = None
    runner = world.runner(ledger)
    runner.cancel()
    assert await runner.run() is Outcome.CANCELLED
    assert ledger.statuses() == {"a": "cancelled"}


@pytest.mark.usefixtures("lingering")
async def test_cancel_while_waiting_for_the_next_attempt() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        raise ValueError

    ledger = MemoryLedger(spec_of(graph(task("a", retry={"max": 3, "backoff_ms": 60_000}))))
    runner = scripted(script).runner(ledger)
    running = asyncio.create_task(runner.run())
    await eventually(lambda: ledger.steps.get(("a", "")) is not None and ledger.steps["a", ""].attempt == 2)
    runner.cancel()
    assert await running is Outcome.CANCELLED
    assert ledger.statuses() == {"a": "cancelled"}


async def test_a_step_that_does_not_stop_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "STOP_GRACE", 0.02)
    release = asyncio.Event()
    reached = asyncio.Event()
    said: list[str] = []

    async def stubborn(plan: CrewPlan, calls: StepCalls) -> str:
        reached.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        try:
            await calls.model(ask("late"))
        except BaseException as refused:
            said.append(type(refused).__name__)
            raise
        return ""

    world = scripted(stubborn)
    ledger = MemoryLedger(spec_of(CHAIN))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await reached.wait()
    runner.cancel()
    assert await running is Outcome.CANCELLED
    writes = len(ledger.batches)
    release.set()
    await asyncio.sleep(0.03)
    assert said == ["StepStopped"]
    assert world.models.made == []
    assert len(ledger.batches) == writes


# --- park and take over -------------------------------------------------------------------------------------------


async def test_a_parked_execution_goes_on_where_it_was() -> None:
    held = Held("b")
    world = scripted(held)
    ledger = MemoryLedger(spec_of(CHAIN))
    runner, running = await start(world, ledger, held)
    runner.park()
    assert await running is Outcome.PARKED
    assert held.stopped
    assert ledger.statuses() == {"a": "succeeded", "b": "running"}
    assert [t.status for t in ledger.transitions] == [ExecutionStatus.QUEUED]
    assert ledger.events[-1].data == {"status": "queued"}
    held.go.set()
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert world.models.made == ["one", "two"], "nothing was asked twice"
    assert ledger.steps["b", ""].attempt == 1
    assert "done" not in ledger.event_types()[:-1]


@pytest.mark.parametrize(("stop", "asked"), [("park", 1), ("cancel", 1), ("abandon", 2)])
async def test_parking_lets_a_call_under_way_end(stop: str, asked: int) -> None:
    """It would be paid twice. Who cancels does not want its answer, and who has lost the lease may not keep it."""
    asking = asyncio.Event()
    ended: list[str] = []

    async def slow(request: ModelRequest) -> ModelReply:
        asking.set()
        await asyncio.sleep(0.03)
        ended.append("ended")
        return echo(request)

    world = World(models=FakeModels(slow))
    ledger = MemoryLedger(spec_of(CHAIN))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await asking.wait()
    getattr(runner, stop)()
    await running
    assert ended == (["ended"] if stop == "park" else [])
    if stop == "cancel":
        assert ledger.calls == {}
        return
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert world.models.made.count("one") == asked


async def test_a_library_that_cancels_its_caller_does_not_hang_the_run() -> None:
    async def rude(plan: CrewPlan, calls: StepCalls) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return ""

    ledger = MemoryLedger(spec_of(CHAIN))
    assert await scripted(rude).run(ledger) is Outcome.FAILED
    assert ledger.ended is not None
    assert (ledger.ended.error or {})["code"] == "internal_error"
    assert ledger.statuses() == {"a": "failed"}


async def test_a_step_parked_between_attempts_goes_on_with_the_next() -> None:
    tries: list[int] = []

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return "ok"

    world = scripted(script)
    ledger = MemoryLedger(spec_of(graph(task("a", retry={"max": 1, "backoff_ms": 60_000}))))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await eventually(lambda: len(tries) == 1)
    await asyncio.sleep(0)
    runner.park()
    assert await running is Outcome.PARKED
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert len(tries) == 2
    assert (ledger.steps["a", ""].attempt, ledger.steps["a", ""].generation) == (2, 2)


async def test_the_first_reason_to_end_counts() -> None:
    held = Held("a")
    ledger = MemoryLedger(spec_of(CHAIN))
    runner, running = await start(scripted(held), ledger, held)
    runner.cancel()
    runner.park()
    assert await running is Outcome.CANCELLED


# --- losing the execution -----------------------------------------------------------------------------------------


async def test_superseded_by_a_write_stops_at_once_and_writes_nothing() -> None:
    held = Held("b")
    world = scripted(held)
    ledger = MemoryLedger(spec_of(CHAIN))
    _, running = await start(world, ledger, held)
    writes = len(ledger.batches)
    ledger.superseded = True
    held.go.set()
    assert await running is Outcome.SUPERSEDED
    assert len(ledger.batches) == writes
    assert ledger.transitions == []


async def test_superseded_as_the_heartbeat_tells() -> None:
    held = Held("b")
    ledger = MemoryLedger(spec_of(CHAIN))
    runner, running = await start(scripted(held), ledger, held)
    writes = len(ledger.batches)
    runner.abandon()
    assert await running is Outcome.SUPERSEDED
    assert held.stopped
    assert len(ledger.batches) == writes


async def test_superseded_while_cancelling() -> None:
    held = Held("a")
    ledger = MemoryLedger(spec_of(CHAIN))
    runner, running = await start(scripted(held), ledger, held)
    ledger.superseded = True
    runner.cancel()
    assert await running is Outcome.SUPERSEDED
    assert ledger.transitions == []


async def test_superseded_at_load() -> None:
    class Gone(MemoryLedger):
        async def load(self) -> Any:
            raise Superseded

    assert await World().run(Gone(spec_of(CHAIN))) is Outcome.SUPERSEDED


async def test_a_ledger_that_fails_is_not_the_executions_fault() -> None:
    """The runner raises and leaves everything as the last durable write had it."""
    ledger = MemoryLedger(spec_of(CHAIN))
    ledger.crash_at = 1
    with pytest.raises(Crash):
        await World().run(ledger)
    assert ledger.transitions == []
    assert ledger.statuses() == {"a": "running"}


async def test_a_write_under_way_is_waited_for() -> None:
    ledger = MemoryLedger(spec_of(CHAIN))
    ledger.delay = 0.02
    held = Held("a")
    runner, running = await start(scripted(held), ledger, held)
    runner.cancel()
    assert await running is Outcome.CANCELLED
    assert not ledger.writing


# --- records of other worlds --------------------------------------------------------------------------------------


async def test_pure_steps_on_record_are_not_made_again() -> None:
    ledger = MemoryLedger(spec_of(graph(transform("a", "1"), transform("b", "nodes.a.output + 1"), edges=[("a", "b")])))
    ledger.steps["a", ""] = StepRecord(UUID(int=1), "a", "transform", "", 1, 1, StepStatus.SUCCEEDED, output=41)
    await World().run(ledger)
    assert ledger.outputs() == {"a": 41, "b": 42}
    assert ledger.event_types("a") == []


async def test_nothing_is_left_behind() -> None:
    """No task, no timer, no reference cycle that keeps an execution's data."""
    before = len(asyncio.all_tasks())
    ledger = MemoryLedger(spec_of(CHAIN))
    await World().run(ledger)
    gc.collect()
    assert len(asyncio.all_tasks()) == before
    assert not any(isinstance(each, ExecutionRunner) for each in gc.get_objects())
