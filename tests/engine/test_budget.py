"""Calls that a budget has no room for: refused, or put to a person."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from services.orchestration.engine.budget import ExecutionBudget, estimate
from services.orchestration.engine.ports import (
    Action,
    Answer,
    Charge,
    ChatMessage,
    CrewPlan,
    Exceeded,
    ModelInfo,
    ModelReply,
    ModelRequest,
    StepCalls,
    Usage,
    WaitKind,
)
from services.orchestration.engine.runner import Outcome
from shared.kit.json import JsonObject
from tests.engine.fakes import (
    MODEL,
    TENANT,
    Crash,
    FakeModels,
    MemoryLedger,
    World,
    ask,
    eventually,
    graph,
    scripted,
    spec_of,
    task,
)

BUDGET = UUID("01890000-0000-7000-8000-00000000f001")


@dataclass
class FakeBudgets:
    """Has room for so many calls."""

    room: int
    asks_a_person: bool = False
    charges: list[Charge] = field(default_factory=list[Charge])
    settled: list[UUID] = field(default_factory=list[UUID])
    recovered: int = 0
    recovering: bool = False

    def unlimited(self, tenant_id: UUID) -> bool:
        return False

    async def reserve(self, tenant_id: UUID, charge: Charge, *, force: bool = False) -> Exceeded | None:
        assert not self.recovering, "it would be given back with what was left over"
        if self.room <= 0 and not force:
            return Exceeded(BUDGET, "Month", True, self.asks_a_person, {"calls": 9}, {"calls": 9 + len(self.charges)})
        self.room -= 1
        self.charges.append(charge)
        return None

    def settle(self, tenant_id: UUID, call_id: UUID, used: Usage) -> None:
        self.settled.append(call_id)

    async def recover(self, tenant_id: UUID, execution_id: UUID) -> None:
        self.recovering = True
        await asyncio.sleep(0.01)
        self.recovering = False
        self.recovered += 1


async def three_questions(plan: CrewPlan, calls: StepCalls) -> str:
    return "".join([(await calls.model(ask(f"question {n}"))).text for n in range(3)])


def world_with(room: int, **more: Any) -> tuple[World, FakeBudgets]:
    budgets = FakeBudgets(room, **more)
    return scripted(three_questions, budgets=budgets), budgets


def one_step() -> MemoryLedger:
    return MemoryLedger(spec_of(graph(task("t", retry={"max": 3, "backoff_ms": 0}))))


async def test_every_call_is_reserved_before_it_is_made_and_settled_after() -> None:
    world, budgets = world_with(3)
    ledger = one_step()
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert [charge.call_id for charge in budgets.charges] == budgets.settled == [c.id for c in ledger.calls.values()]
    assert {charge.model_id for charge in budgets.charges} == {MODEL}


async def test_a_call_that_there_is_no_room_for_is_not_made_and_its_step_fails_at_once() -> None:
    world, budgets = world_with(2)
    ledger = one_step()
    assert await world.run(ledger) is Outcome.FAILED
    assert ledger.ended is not None
    error: Any = ledger.ended.error
    assert (error["code"], error["details"]["limit"], error["retryable"]) == ("budget_exceeded", {"calls": 9}, False)
    assert world.models.made == ["question 0", "question 1"]
    assert len(budgets.settled) == 2


async def test_a_person_lets_it_pass_once_and_what_was_paid_is_not_paid_again() -> None:
    world, budgets = world_with(1, asks_a_person=True)
    ledger = one_step()
    assert await world.run(ledger) is Outcome.WAITING
    (wait,) = ledger.open_waits()
    assert (wait.kind, wait.audience.role) == (WaitKind.BUDGET, "admin")
    shown: Any = wait.request
    assert (shown["budget"], shown["budget_id"], shown["limit"]) == ("Month", str(BUDGET), {"calls": 9})
    ledger.answer(Action.ACCEPT)

    assert await world.run(ledger) is Outcome.WAITING, "the third call is asked about by itself"
    ledger.answer(Action.ACCEPT)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert world.models.made == ["question 0", "question 1", "question 2"]
    assert budgets.recovered == 2, "whoever takes it up settles what the one before left"


async def test_nothing_is_reserved_while_what_an_earlier_worker_left_is_given_back() -> None:
    """Branches that go on side by side."""
    world, budgets = world_with(100)
    ledger = MemoryLedger(spec_of(graph(*(task(f"t{n}") for n in range(4)))))
    ledger.crash_at = 1
    with pytest.raises(Crash):
        await world.run(ledger)
    ledger.crash_at = None
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert budgets.recovered == 1


@pytest.mark.parametrize("stop", ["timeout", "cancel", "park"])
async def test_a_call_that_is_stopped_holds_back_nothing(stop: str) -> None:
    async def endless(plan: CrewPlan, calls: StepCalls) -> str:
        return (await calls.model(ask("hang"))).text

    budgets = FakeBudgets(100)
    world = scripted(endless, budgets=budgets, models=FakeModels(answer=lambda _: asyncio.Future[ModelReply]()))
    ledger = MemoryLedger(spec_of(graph(task("t", timeout_ms=50 if stop == "timeout" else 60_000))))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await eventually(lambda: bool(budgets.charges))
    if stop != "timeout":
        await asyncio.sleep(0.02)
        runner.cancel() if stop == "cancel" else runner.park()
    await running
    assert budgets.settled == [charge.call_id for charge in budgets.charges]


async def test_a_person_declines() -> None:
    world, _ = world_with(1, asks_a_person=True)
    ledger = one_step()
    await world.run(ledger)
    ledger.answer(Action.IGNORE)
    assert await world.run(ledger) is Outcome.FAILED
    assert ledger.ended is not None
    assert ledger.ended.error is not None
    assert ledger.ended.error["code"] == "budget_exceeded"
    assert world.models.made == ["question 0"]


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_a_crash_anywhere_changes_nothing_of_it(room: int) -> None:
    for crash_at in range(8):
        world, _ = world_with(room, asks_a_person=True)
        ledger = one_step()
        ledger.crash_at = crash_at
        for _ in range(20):
            try:
                outcome = await world.run(ledger)
            except Exception:  # noqa: BLE001 - the crash
                ledger.crash_at = None
                continue
            if outcome is not Outcome.WAITING:
                break
            ledger.answer(Action.ACCEPT)
        assert ledger.ended is not None
        assert ledger.statuses() == {"t": "succeeded"}


# --- time -------------------------------------------------------------------------------------------------


def timed(spent_ms: int, budget: JsonObject, clock: Callable[[], float]) -> ExecutionBudget:
    state: Any = type("State", (), {})()
    state.budget, state.spec, state.tenant_id, state.id = budget, {}, TENANT, BUDGET
    state.root_id, state.active_ms, state.waits, state.steps = None, spent_ms, [], []
    return ExecutionBudget(state, FakeBudgets(99), clock)


async def test_time_counts_over_all_workers_that_held_it() -> None:
    now = [100.0]
    budget = timed(1500, {"time_ms": 2000, "on_exceeded": "wait"}, lambda: now[0])
    call: Any = type("Call", (), {"id": BUDGET, "agent_id": None, "model_id": None})()
    assert await budget.reserve(call, Usage()) is None
    now[0] += 0.6
    late = await budget.reserve(call, Usage())
    assert late is not None
    assert (late.limit, late.spent, late.asks_a_person) == ({"time_ms": 2000}, {"time_ms": 2100}, True)
    wait: Any = type("Wait", (), {"request": {"limit": late.limit}, "answer": Answer(Action.ACCEPT)})()
    budget.allow(wait)
    assert await budget.reserve(call, Usage()) is None


def test_what_a_model_call_may_come_to_use() -> None:
    model = ModelInfo(MODEL, "m", 8000, True, input_price=2, output_price=10)  # pyright: ignore[reportArgumentType]
    request = ModelRequest(MODEL, (ChatMessage("user", "x" * 400),), max_tokens=1000)
    expected = estimate(request, model)
    assert (expected.input_tokens, expected.output_tokens) == (101, 1000)
    assert float(expected.cost) == pytest.approx((101 * 2 + 1000 * 10) / 1e6)
