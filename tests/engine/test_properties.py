"""Whatever the graph, the order in which things end and the moment of a crash: the same comes of it."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.orchestration.engine.ports import CallStatus
from services.orchestration.engine.runner import Outcome
from tests.engine.fakes import Crash, MemoryLedger, spec_of
from tests.engine.made_up import Expected, MadeUp, MadeUpWorld, as_graph, interpret, made_up_graphs

PAUSES = st.lists(st.integers(0, 7), min_size=7, max_size=7)
QUICK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
THOROUGH = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def run(coroutine: Any) -> Any:
    """Hypothesis runs no coroutines: every example has an event loop of its own."""
    return asyncio.run(coroutine)


def check(ledger: MemoryLedger, outcome: Outcome, expected: Expected, nodes: MadeUp) -> None:
    assert ledger.ended is not None
    if not expected.failing:
        assert outcome is Outcome.SUCCEEDED, ledger.ended
        assert ledger.statuses() == expected.statuses
        assert ledger.outputs() == expected.outputs
        assert ledger.ended.output == expected.outputs
        return
    assert outcome is Outcome.FAILED
    assert (ledger.ended.error or {})["node"] in expected.failing
    for node, status in ledger.statuses().items():
        if status in ("succeeded", "skipped"):
            assert (status, ledger.outputs()[node]) == (expected.statuses[node], expected.outputs[node])
        else:
            assert status in ("failed", "cancelled")
            assert node in expected.failing or expected.statuses.get(node) == "succeeded"
    assert "running" not in ledger.statuses().values()


@QUICK
@given(nodes=made_up_graphs(), pauses=PAUSES)
def test_the_engine_agrees_with_the_interpreter(nodes: MadeUp, pauses: list[int]) -> None:
    async def example() -> None:
        ledger = MemoryLedger(spec_of(as_graph(nodes)))
        outcome = await MadeUpWorld(nodes, pauses).world.run(ledger)
        check(ledger, outcome, interpret(nodes), nodes)

    run(example())


@QUICK
@given(nodes=made_up_graphs(failing=False), pauses=st.tuples(PAUSES, PAUSES))
def test_the_order_in_which_steps_end_changes_nothing(nodes: MadeUp, pauses: tuple[list[int], list[int]]) -> None:
    async def example() -> None:
        ledgers: list[MemoryLedger] = []
        for each in pauses:
            ledger = MemoryLedger(spec_of(as_graph(nodes)))
            assert await MadeUpWorld(nodes, each).world.run(ledger) is Outcome.SUCCEEDED
            ledgers.append(ledger)
        one, other = ledgers
        assert one.statuses() == other.statuses()
        assert one.outputs() == other.outputs()
        assert one.ended == other.ended
        assert sorted(key for _, key in one.calls) == sorted(key for _, key in other.calls)

    run(example())


@THOROUGH
@given(nodes=made_up_graphs(most=5), pauses=PAUSES)
def test_after_a_crash_at_any_write_nothing_recorded_is_made_again(nodes: MadeUp, pauses: list[int]) -> None:
    """Every write of the run in turn is the one at which the worker dies: before it is durable, and after."""

    async def example() -> None:
        whole = MemoryLedger(spec_of(as_graph(nodes)))
        await MadeUpWorld(nodes, pauses).world.run(whole)
        for write in range(len(whole.batches)):
            for after in (False, True):
                await crash_once(nodes, pauses, write, after)

    run(example())


async def crash_once(nodes: MadeUp, pauses: list[int], write: int, after: bool) -> None:
    world = MadeUpWorld(nodes, pauses)
    ledger = MemoryLedger(spec_of(as_graph(nodes)))
    ledger.crash_at, ledger.crash_after_write = write, after
    outcome = await until_dead(world, ledger)
    if outcome is None and ledger.ended is None:
        answers = recorded_answers(ledger, nodes)
        ended = {node: status for node, status in ledger.statuses().items() if status != "running"}
        asked = world.answered.copy()
        ledger.crash_at = None
        outcome = await world.world.run(ledger)
        for question in answers:
            assert world.answered[question] == asked[question], f"asked again although recorded: {question}"
        assert max((world.answered - asked).values(), default=0) <= limit(nodes), "one answer lost is one call repeated"
        assert {node: ledger.statuses()[node] for node in ended} == ended
    if outcome is not None:
        check(ledger, outcome, interpret(nodes), nodes)


@THOROUGH
@given(nodes=made_up_graphs(most=5), pauses=PAUSES, crashes=st.lists(st.tuples(st.integers(0, 3), st.booleans())))
def test_crash_after_crash(nodes: MadeUp, pauses: list[int], crashes: list[tuple[int, bool]]) -> None:
    async def example() -> None:
        world = MadeUpWorld(nodes, pauses)
        ledger = MemoryLedger(spec_of(as_graph(nodes)))
        outcome: Outcome | None = None
        for writes, after in crashes:
            ledger.crash_at, ledger.crash_after_write = len(ledger.batches) + writes, after
            outcome = await until_dead(world, ledger)
            if ledger.ended is not None:
                return
        ledger.crash_at = None
        outcome = await world.world.run(ledger)
        check(ledger, outcome, interpret(nodes), nodes)

    run(example())


@THOROUGH
@given(nodes=made_up_graphs(most=5), pauses=PAUSES, turns=st.lists(st.integers(0, 40), max_size=3))
def test_parked_again_and_again(nodes: MadeUp, pauses: list[int], turns: list[int]) -> None:
    """Parking loses no answer: it waits for calls under way, and what they say is not asked again."""

    async def example() -> None:
        world = MadeUpWorld(nodes, pauses)
        ledger = MemoryLedger(spec_of(as_graph(nodes)))
        for each in turns:
            runner = world.world.runner(ledger)
            running = asyncio.create_task(runner.run())
            for _ in range(each):
                await asyncio.sleep(0)
            runner.park()
            if await running is not Outcome.PARKED:
                break
        outcome = Outcome(ledger.ended.status.value) if ledger.ended else await world.world.run(ledger)
        check(ledger, outcome, interpret(nodes), nodes)
        if all(node.own_failures == 0 for node in nodes):
            assert set(world.answered.values()) <= {1}

    run(example())


async def until_dead(world: MadeUpWorld, ledger: MemoryLedger) -> Outcome | None:
    try:
        return await world.world.run(ledger)
    except Crash:
        return None


def recorded_answers(ledger: MemoryLedger, nodes: MadeUp) -> set[str]:
    """Questions whose answer is on record, of steps that will not have to ask afresh after a failure of their own."""
    lasting = {step.id for (id_, _), step in ledger.steps.items() if nodes[int(id_[1:])].own_failures == 0}
    found: set[str] = set()
    for call in ledger.calls.values():
        request: Any = call.request
        if call.status is CallStatus.SUCCEEDED and call.step_id in lasting:
            found.add(request["messages"][-1]["content"])
    return found


def limit(nodes: MadeUp) -> int:
    """How often a question may be asked after a crash: once, and once more for each fresh attempt."""
    return 1 + max(node.own_failures for node in nodes)
