"""Maps, loops and people: whoever answers when, whatever crashes, parks or pauses between, the same comes of it."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.orchestration.engine.ports import ExecutionStatus
from services.orchestration.engine.runner import ExecutionRunner, Outcome
from tests.engine.fakes import Crash, MemoryLedger, World, spec_of
from tests.engine.made_up_bodies import Expected, Level, answer, as_graph, interpret, levels, world_of

SEEDS = st.integers(0, 2**32)
QUICK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
THOROUGH = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


def check(ledger: MemoryLedger, expected: Expected) -> None:
    assert ledger.ended is not None
    statuses = {key: step.status.value for key, step in ledger.steps.items()}
    assert not {"running", "waiting"} & set(statuses.values())
    assert ledger.open_waits() == []
    if expected.failed:
        assert ledger.ended.status is ExecutionStatus.FAILED
        assert "failed" in statuses.values()
        return
    assert ledger.ended.status is ExecutionStatus.SUCCEEDED, ledger.ended
    assert ledger.ended.output == expected.output
    assert {key: statuses.get(key) for key in expected.statuses} == expected.statuses
    # What is on record beside that stands in bodies that failed.
    others = {path for _, path in statuses.keys() - expected.statuses.keys()}
    for failed in others:
        inside = {status for (_, path), status in statuses.items() if path == failed or path.startswith(f"{failed}/")}
        assert {"failed", "cancelled"} & inside or any(failed.startswith(f"{each}/") for each in others)


async def once(world: World, ledger: MemoryLedger, random: Random, *, stops: bool) -> Outcome | None:
    """One worker's hold on it, with answers, and a stop, at random moments."""
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    meddling = asyncio.create_task(_meddle(runner, ledger, random, stops))
    try:
        return await asyncio.wait_for(running, 20)
    except Crash:
        return None
    finally:
        meddling.cancel()


async def _meddle(runner: ExecutionRunner, ledger: MemoryLedger, random: Random, stops: bool) -> None:
    while True:
        for _ in range(random.randrange(1, 12)):
            await asyncio.sleep(0)
        if ledger.ended is None and ledger.open_waits() and random.random() < 0.5:
            wait = random.choice(ledger.open_waits())
            ledger.settle(wait, answer(wait))
        if random.random() < 0.7:
            runner.wake()
        if stops and random.random() < 0.3:
            random.choice([runner.park, runner.pause])()


async def to_the_end(world: World, ledger: MemoryLedger, random: Random, *, stops: bool, crashes: int) -> None:
    for _ in range(300):
        crashing = crashes > 0 and random.random() < 0.5
        ledger.crash_at = len(ledger.batches) + random.randrange(4) if crashing else None
        ledger.crash_after_write = random.random() < 0.5
        if await once(world, ledger, random, stops=stops) is None:
            crashes -= 1
        if ledger.ended is not None:
            return
        if ledger.transitions and ledger.status is ExecutionStatus.WAITING:
            waits = ledger.open_waits()
            assert waits, "it waits, and nobody is asked"
            for wait in random.sample(waits, random.randrange(1, len(waits) + 1)):
                ledger.settle(wait, answer(wait))
    raise AssertionError("it never ends")


def run(level: Level, seed: int, *, stops: bool = False, crashes: int = 0) -> MemoryLedger:
    async def example() -> MemoryLedger:
        ledger = MemoryLedger(spec_of(as_graph(level)))
        world, asked = world_of(level)
        await to_the_end(world, ledger, Random(seed), stops=stops, crashes=crashes)
        for question, steps in _questions(ledger).items():
            assert asked[question] <= steps + crashes, "what is on record, or had time to end, is not asked again"
        return ledger

    return asyncio.run(example())


@QUICK
@given(level=levels(), seed=SEEDS)
def test_the_engine_agrees_with_the_interpreter(level: Level, seed: int) -> None:
    check(run(level, seed), interpret(level))


@THOROUGH
@given(level=levels(), seed=SEEDS)
def test_parked_and_paused_and_woken_anywhere(level: Level, seed: int) -> None:
    check(run(level, seed, stops=True), interpret(level))


@THOROUGH
@given(level=levels(), seed=SEEDS)
def test_crash_after_crash(level: Level, seed: int) -> None:
    check(run(level, seed, stops=True, crashes=4), interpret(level))


@THOROUGH
@given(level=levels(failing=False), seeds=st.tuples(SEEDS, SEEDS))
def test_the_order_of_answers_changes_nothing(level: Level, seeds: tuple[int, int]) -> None:
    one, other = run(level, seeds[0]), run(level, seeds[1], stops=True)
    assert one.ended == other.ended
    assert {key: step.status for key, step in one.steps.items()} == {key: s.status for key, s in other.steps.items()}
    assert _asked(one) == _asked(other)


def _questions(ledger: MemoryLedger) -> Counter[str]:
    """How many steps have each question to ask."""
    inputs: list[tuple[str, Any]] = [(step.node, step.input) for step in ledger.steps.values()]
    return Counter(f"{node}: {told['description']}" for node, told in inputs if told and "description" in told)


def _asked(ledger: MemoryLedger) -> list[Any]:
    names = {step.id: (step.node, step.path) for step in ledger.steps.values()}
    calls = [(*names[call.step_id], call.key, call.request_hash) for call in ledger.calls.values()]
    return sorted(calls + [(*names[wait.step_id], wait.key, wait.request_hash) for wait in ledger.wait_rows.values()])
