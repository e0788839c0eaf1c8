"""Maps and loops: order, parallelism, failures, nesting, replay, limits."""

import asyncio
from typing import Any

import pytest

from services.orchestration.engine import scheduler
from services.orchestration.engine.ports import Action, CrewPlan, StepCalls, StepStatus, WaitKind, WaitRequest
from services.orchestration.engine.runner import Outcome
from shared.kit.json import Json, JsonObject
from tests.engine.fakes import (
    Crash,
    MemoryLedger,
    World,
    ask,
    condition,
    eventually,
    graph,
    output,
    scripted,
    spec_of,
    task,
    transform,
)


def body(*nodes: JsonObject, edges: Any = (), gives: str | None = None) -> JsonObject:
    inner = graph(*nodes, edges=edges)
    return {"nodes": inner["nodes"], "edges": inner["edges"], **({} if gives is None else {"output": gives})}


def each(id_: str, items: str, inner: JsonObject, *, timeout_ms: int | None = None, **config: Any) -> JsonObject:
    node = {"id": id_, "type": "map", "config": {"items": items, "body": inner, **config}}
    return node if timeout_ms is None else {**node, "timeout_ms": timeout_ms}


def loop(id_: str, until: str, inner: JsonObject, **config: Any) -> JsonObject:
    return {"id": id_, "type": "loop", "config": {"until": until, "body": inner, **config}}


def ledger_of(*nodes: JsonObject, edges: Any = (), outputs: Any = None, **inputs: Any) -> MemoryLedger:
    return MemoryLedger(spec_of(graph(*nodes, edges=edges, outputs=outputs)), inputs)


def ended(ledger: MemoryLedger) -> Json:
    assert ledger.ended is not None
    return ledger.ended.output


def error_of(ledger: MemoryLedger) -> JsonObject:
    assert ledger.ended is not None
    assert ledger.ended.error is not None
    return ledger.ended.error


def failing(*bad: str) -> World:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        text = plan.tasks[0].description
        reply = await calls.model(ask(text))
        if text in bad:
            raise ValueError(text)
        return reply.text

    return scripted(script)


# --- map ----------------------------------------------------------------------------------------------------------


async def test_a_map_gives_what_the_body_gives_in_the_order_of_the_elements() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        number = int(plan.tasks[0].description)
        await asyncio.sleep(0.01 / (number + 1))
        return f"<{number}>"

    ledger = ledger_of(
        transform("before", "10"),
        each("each", "inputs.list", body(task("t", "{{ item }}"))),
        output("after", all="nodes.each.output", n="nodes.before.output"),
        edges=[("before", "each"), ("each", "after")],
        list=[0, 1, 2, 3],
    )
    assert await scripted(script).run(ledger) is Outcome.SUCCEEDED
    items = [{"t": {"text": f"<{n}>", "data": None, "citations": []}} for n in range(4)]
    assert ended(ledger) == {"all": {"items": items, "failed": []}, "n": 10}
    assert ledger.steps["t", "each[2]"].input == {"description": "2", "expected_output": "text"}
    assert ledger.steps["each", ""].input == {"items": 4}


async def test_what_a_body_sees() -> None:
    ledger = ledger_of(
        transform("a", "'a'"),
        each(
            "m",
            "[10, 20]",
            body(
                transform("b", "[nodes.a.output, item, iteration.index, inputs.x, execution.id != '']"),
                transform("c", "nodes.b.output + [1]"),
                edges=[("b", "c")],
                gives="nodes.c.output",
            ),
        ),
        edges=[("a", "m")],
        outputs={"m": "nodes.m.output.items"},
        x="x",
    )
    assert await World().run(ledger) is Outcome.SUCCEEDED
    assert ended(ledger) == {"m": [["a", 10, 0, "x", True, 1], ["a", 20, 1, "x", True, 1]]}


async def test_as_many_as_are_allowed_run_at_once() -> None:
    running: list[int] = [0, 0]

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.001)
        running[0] -= 1
        return ""

    ledger = ledger_of(each("m", "inputs.list", body(task("t")), parallelism=3), list=list(range(10)))
    assert await scripted(script).run(ledger) is Outcome.SUCCEEDED
    assert running[1] == 3
    assert len(ledger.steps) == 11


async def test_an_empty_map() -> None:
    ledger = ledger_of(each("m", "[]", body(task("t"))))
    assert await World().run(ledger) is Outcome.SUCCEEDED
    assert ended(ledger) == {"m": {"items": [], "failed": []}}


@pytest.mark.parametrize(
    ("items", "code"), [("'text'", "items_invalid"), ("inputs.list", "too_many_items"), ("1 / 0", "expression_failed")]
)
async def test_what_is_no_list_to_go_through(items: str, code: str) -> None:
    ledger = ledger_of(each("m", items, body(task("t"))), list=[0] * 10_001)
    assert await World().run(ledger) is Outcome.FAILED
    assert (ledger.steps["m", ""].error or {})["code"] == code


async def test_ten_thousand_elements_let_others_have_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    ledger = ledger_of(
        each("m", "inputs.list", body(transform("t", "item + 1"), gives="nodes.t.output")), list=list(range(10_000))
    )
    assert await World().run(ledger) is Outcome.SUCCEEDED
    waiting.cancel()
    assert len(ledger.steps) == 10_001
    output_: Any = ended(ledger)
    assert output_["m"]["items"][-1] == 10_000
    assert turns > 10


# --- failures -----------------------------------------------------------------------------------------------------


async def test_the_first_failure_fails_the_map_and_the_execution() -> None:
    ledger = ledger_of(each("m", "['a', 'bad', 'c']", body(task("t", "{{ item }}"))))
    assert await failing("bad").run(ledger) is Outcome.FAILED
    error = error_of(ledger)
    assert (error["code"], error["node"]) == ("internal_error", "t")
    assert error["message"].startswith("m: item 1: t: an internal error")
    assert ledger.steps["t", "m[1]"].status is StepStatus.FAILED
    assert ledger.steps["m", ""].status is StepStatus.FAILED
    assert StepStatus.RUNNING not in {step.status for step in ledger.steps.values()}
    assert [t.status for t in ledger.transitions] == ["failed"]


async def test_failed_elements_are_null_and_told() -> None:
    ledger = ledger_of(
        each("m", "['a', 'bad', 'c']", body(task("t", "{{ item }}"), gives="nodes.t.output.text"), on_error="continue")
    )
    assert await failing("bad").run(ledger) is Outcome.SUCCEEDED
    output_: Any = ended(ledger)
    assert output_["m"]["items"] == ["re: a", None, "re: c"]
    (failed,) = output_["m"]["failed"]
    assert (failed["index"], failed["error"]["code"], failed["error"]["node"]) == (1, "internal_error", "t")
    assert ledger.steps["t", "m[1]"].status is StepStatus.FAILED


@pytest.mark.parametrize(("most", "outcome"), [(2, Outcome.SUCCEEDED), (1, Outcome.FAILED), (0, Outcome.FAILED)])
async def test_so_many_may_fail(most: int, outcome: Outcome) -> None:
    ledger = ledger_of(
        each("m", "['x', 'a', 'y']", body(task("t", "{{ item }}")), on_error="continue", max_failures=most)
    )
    assert await failing("x", "y").run(ledger) is outcome
    if outcome is Outcome.FAILED:
        assert error_of(ledger)["code"] == "too_many_failures"


async def test_a_failing_body_stops_what_else_goes_on_in_it_and_nothing_more() -> None:
    other = asyncio.Event()
    stopped: list[str] = []

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        name = plan.tasks[0].name
        if name == "bad" and plan.tasks[0].description == "1":
            await eventually(lambda: "1" in slow_began)
            raise ValueError
        if name == "slow":
            slow_began.append(plan.tasks[0].description)
            try:
                await other.wait()
            except asyncio.CancelledError:
                stopped.append(plan.tasks[0].description)
                other.set()
                raise
        return name

    slow_began: list[str] = []
    ledger = ledger_of(
        each("m", "[0, 1, 2]", body(task("slow", "{{ item }}"), task("bad", "{{ item }}")), on_error="continue")
    )
    assert await scripted(script).run(ledger) is Outcome.SUCCEEDED
    assert stopped == ["1"]
    assert [ledger.steps["slow", f"m[{n}]"].status.value for n in range(3)] == ["succeeded", "cancelled", "succeeded"]
    assert ledger.steps["bad", "m[1]"].status is StepStatus.FAILED


@pytest.mark.parametrize(
    "inner",
    [
        body(transform("t", "item == 1 ? [][0] : item")),
        body(
            transform("t", "item"), transform("u", "1"), edges=[{"from": "t", "to": "u", "when": "[1, 1][item] == 1"}]
        ),
        body(transform("t", "item"), gives="[0, 1][nodes.t.output + 1]"),
        body(task("t", "{{ [0, 0][item + 1] }}")),
    ],
    ids=["pure", "edge", "output", "template"],
)
async def test_expressions_that_fail_in_a_body(inner: JsonObject) -> None:
    """They fail their element, the same when it is replayed."""
    spec = each("m", "[0, 1, 2]", inner, on_error="continue")
    ledger = ledger_of(spec, {"id": "ask", "type": "question", "config": {"question": "?"}}, edges=[("m", "ask")])
    assert await World().run(ledger) is Outcome.WAITING
    first: Any = ledger.outputs_at("m")
    assert {failed["index"] for failed in first["failed"]} <= {1, 2}
    assert first["failed"]
    assert first["failed"][0]["error"]["code"] == "expression_failed"


async def test_a_body_that_failed_fails_the_same_after_a_crash() -> None:
    """What had failed, and what was stopped by that, is not run again."""

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        name, item = plan.tasks[0].name, plan.tasks[0].description
        reply = await calls.model(ask(f"{name} {item}"))
        if name == "b" and item == "0":
            raise ValueError
        if name == "a" and item == "0":
            await asyncio.Event().wait()
        await calls.wait(WaitRequest(WaitKind.QUESTION, "?", None))
        return reply.text

    ledger = ledger_of(each("m", "[0, 1]", body(task("a", "{{ item }}"), task("b", "{{ item }}")), on_error="continue"))
    world = scripted(script)
    assert await world.run(ledger) is Outcome.WAITING
    for wait in ledger.open_waits():
        ledger.settle(wait, None)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    output_: Any = ended(ledger)
    assert [failed["index"] for failed in output_["m"]["failed"]] == [0]
    assert output_["m"]["items"][0] is None
    assert sorted(world.models.made) == ["a 0", "a 1", "b 0", "b 1"]


async def test_a_map_that_takes_too_long() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        await asyncio.sleep(60)
        return ""

    ledger = ledger_of(each("m", "[0, 1]", body(task("t")), timeout_ms=10))
    assert await scripted(script).run(ledger) is Outcome.FAILED
    assert error_of(ledger)["code"] == "timeout"
    assert (ledger.steps["m", ""].status, ledger.steps["t", "m[0]"].status) == ("failed", "cancelled")


async def test_a_map_in_a_map_that_takes_too_long_is_one_failed_element() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        await asyncio.sleep(60 if plan.tasks[0].description == "1" else 0)
        return ""

    inner = each("inner", "[item]", body(task("t", "{{ item }}")), timeout_ms=20)
    ledger = ledger_of(each("m", "[0, 1]", body(inner), on_error="continue"))
    assert await scripted(script).run(ledger) is Outcome.SUCCEEDED
    output_: Any = ended(ledger)
    assert [failed["error"]["code"] for failed in output_["m"]["failed"]] == ["timeout"]


# --- loop ---------------------------------------------------------------------------------------------------------


async def test_a_loop_runs_until_its_condition_holds() -> None:
    double = body(transform("t", "iteration.index == 0 ? 1 : iteration.previous * 2"), gives="nodes.t.output")
    ledger = ledger_of(loop("l", "nodes.t.output > inputs.most", double), most=20)
    assert await World().run(ledger) is Outcome.SUCCEEDED
    assert ended(ledger) == {"l": {"output": 32, "iterations": 6, "met": True}}
    assert ledger.steps["t", "l[5]"].output == 32


@pytest.mark.parametrize(("on_limit", "outcome"), [("succeed", Outcome.SUCCEEDED), ("fail", Outcome.FAILED)])
async def test_a_loop_that_comes_to_its_limit(on_limit: str, outcome: Outcome) -> None:
    ledger = ledger_of(loop("l", "false", body(transform("t", "1")), max_iterations=3, on_limit=on_limit))
    assert await World().run(ledger) is outcome
    assert len(ledger.steps) == 4
    if outcome is Outcome.SUCCEEDED:
        assert ended(ledger) == {"l": {"output": {"t": 1}, "iterations": 3, "met": False}}
    else:
        assert error_of(ledger)["code"] == "loop_limit"


@pytest.mark.parametrize("until", ["1", "[][0]"])
async def test_a_loop_whose_condition_is_none(until: str) -> None:
    ledger = ledger_of(loop("l", until, body(transform("t", "1"))))
    assert await World().run(ledger) is Outcome.FAILED
    assert error_of(ledger)["code"] == "expression_failed"
    assert "until" in error_of(ledger)["message"]


async def test_a_failure_in_a_loop_is_the_loops() -> None:
    ledger = ledger_of(loop("l", "false", body(transform("t", "[1, 2][iteration.index]"))))
    assert await World().run(ledger) is Outcome.FAILED
    assert error_of(ledger)["message"].startswith("l: iteration 2: t: expression: ")


# --- nesting ------------------------------------------------------------------------------------------------------


async def test_bodies_within_bodies() -> None:
    inner = loop("inner", "iteration.index == item", body(task("t", "{{ item }}.{{ iteration.index }}")))
    choice = condition("even", yes="item % 2 == 0")
    ledger = ledger_of(
        each(
            "m",
            "[0, 1, 2]",
            body(choice, inner, edges=[{"from": "even", "to": "inner", "port": "yes"}], gives="nodes.inner.output"),
            parallelism=2,
        )
    )
    world = World()
    assert await world.run(ledger) is Outcome.SUCCEEDED
    output_: Any = ended(ledger)
    assert [item and item["iterations"] for item in output_["m"]["items"]] == [1, None, 3]
    assert sorted(world.models.made) == ["0.0", "2.0", "2.1", "2.2"]
    assert ("t", "m[2]/inner[1]") in ledger.steps
    assert ledger.steps["inner", "m[1]"].status is StepStatus.SKIPPED


async def test_a_crash_at_any_write_in_nested_bodies() -> None:
    inner = loop("l", "iteration.index == 1", body(task("t", "{{ item }}.{{ iteration.index }}")))
    spec = each("m", "[0, 1]", body(task("u", "{{ item }}"), inner, edges=[("u", "l")], gives="nodes.l.output"))
    whole = ledger_of(spec)
    assert await World().run(whole) is Outcome.SUCCEEDED
    for write in range(len(whole.batches)):
        for after in (False, True):
            ledger = ledger_of(spec)
            ledger.crash_at, ledger.crash_after_write = write, after
            with pytest.raises(Crash):
                await World().run(ledger)
            ledger.crash_at = None
            if ledger.ended is None:
                recorded = len(ledger.calls)
                world = World()
                assert await world.run(ledger) is Outcome.SUCCEEDED
                assert len(world.models.made) == 6 - recorded
            assert ended(ledger) == ended(whole)


async def test_elements_that_wait_do_not_hold_up_the_others() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        if plan.tasks[0].description == "1":
            return str((await calls.wait(WaitRequest(WaitKind.QUESTION, "?", None))).answer)
        return "done"

    ledger = ledger_of(each("m", "[0, 1, 2, 3]", body(task("t", "{{ item }}")), parallelism=2))
    world = scripted(script)
    assert await world.run(ledger) is Outcome.WAITING
    assert [ledger.steps["t", f"m[{n}]"].status.value for n in range(4)] == [
        "succeeded",
        "waiting",
        "succeeded",
        "succeeded",
    ]
    assert ledger.steps["m", ""].status is StepStatus.RUNNING
    ledger.answer(Action.RESPOND, "x")
    writes = len(ledger.batches)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert {step.path for batch in ledger.batches[writes:] for step in batch.steps} == {"m[1]", ""}


async def test_cancel_closes_everything_inside() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        await calls.wait(WaitRequest(WaitKind.QUESTION, "?", None))
        return ""

    ledger = ledger_of(each("m", "[0, 1]", body(each("n", "[0, 1]", body(task("t"))))))
    world = scripted(script)
    assert await world.run(ledger) is Outcome.WAITING
    runner = world.runner(ledger)
    runner.cancel()
    assert await runner.run() is Outcome.CANCELLED
    assert {step.status.value for step in ledger.steps.values()} == {"cancelled"}
    assert ledger.open_waits() == []


async def test_time_slices_in_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    inner = each("n", "[1, 2]", body(transform("t", "item"), task("u"), edges=[("t", "u")]), on_error="continue")
    ledger = ledger_of(each("m", "[0, 1, 2]", body(inner), parallelism=2))
    assert await World().run(ledger) is Outcome.SUCCEEDED
    assert len(ledger.steps) == 1 + 3 + 12


async def test_an_execution_has_so_many_steps_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "MAX_STEPS", 40)
    inner = body(loop("again", "false", body(transform("t", "1")), max_iterations=9))
    ledger = ledger_of(each("each", "[1, 2, 3, 4, 5, 6]", inner))
    assert await World().run(ledger) is Outcome.FAILED
    assert error_of(ledger)["code"] == "too_many_steps"
    assert len(ledger.steps) <= 41
