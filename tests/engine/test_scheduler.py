"""Graphs as dataflow: joins, dead paths, independence, conditions, outputs, failure."""

import asyncio
from typing import Any

import pytest

from services.orchestration.engine import scheduler
from services.orchestration.engine.ports import CrewPlan, ExecutionStatus, StepCalls, StepFailed, StepStatus
from services.orchestration.engine.runner import Outcome
from shared.kit.json import JsonObject
from tests.engine.fakes import MemoryLedger, World, condition, graph, output, scripted, spec_of, task, transform


async def run(spec: JsonObject, world: World | None = None, **inputs: Any) -> MemoryLedger:
    ledger = MemoryLedger(spec_of(spec), inputs)
    await (world or World()).run(ledger)
    assert ledger.ended is not None
    return ledger


def ended(ledger: MemoryLedger) -> tuple[ExecutionStatus, Any]:
    assert ledger.ended is not None
    return ledger.ended.status, ledger.ended.output


async def nothing(plan: CrewPlan, calls: StepCalls) -> str:
    return plan.tasks[0].description


# --- order and joins --------------------------------------------------------------------------------------------


async def test_steps_follow_their_edges_and_see_what_came_before() -> None:
    ledger = await run(
        graph(
            task("write", "write on {{ nodes.find.output.text }}"),
            task("find", "find {{ inputs.topic }}"),
            edges=[("find", "write")],
            outputs={"report": "nodes.write.output.text"},
        ),
        topic="bees",
    )
    assert ended(ledger) == (ExecutionStatus.SUCCEEDED, {"report": "re: write on re: find bees"})
    assert ledger.steps["write", ""].input == {"description": "write on re: find bees", "expected_output": "text"}


async def test_independent_branches_do_not_wait_for_one_another() -> None:
    """The slow branch ends only after the second step of the other has run."""
    second_ran = asyncio.Event()

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        name = plan.tasks[0].name
        if name == "slow":
            await asyncio.wait_for(second_ran.wait(), 5)
        if name == "second":
            second_ran.set()
        return name

    spec = graph(
        task("slow"),
        task("first"),
        task("second"),
        output("end", all="[nodes.slow.output.text, nodes.second.output.text]"),
        edges=[("first", "second"), ("second", "end"), ("slow", "end")],
    )
    ledger = await run(spec, scripted(script))
    assert ended(ledger) == (ExecutionStatus.SUCCEEDED, {"all": ["slow", "second"]})


async def test_a_join_waits_for_all_its_branches() -> None:
    order: list[str] = []

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        name = plan.tasks[0].name
        await asyncio.sleep({"a": 0.02, "b": 0.001, "join": 0}[name])
        order.append(name)
        return name

    spec = graph(task("a"), task("b"), task("join"), edges=[("a", "join"), ("b", "join")])
    await run(spec, scripted(script))
    assert order == ["b", "a", "join"]


async def test_dead_paths_run_through_joins() -> None:
    """`left` is not taken, so its whole branch is skipped; the join runs after the branch that was taken."""
    spec = graph(
        condition("c", left="inputs.n > 5", right="inputs.n > 1"),
        transform("left", "'left'"),
        transform("left2", "nodes.left.output + '2'"),
        transform("right", "'right'"),
        output("join", left="nodes.left2.output", right="nodes.right.output"),
        edges=[
            {"from": "c", "to": "left", "port": "left"},
            {"from": "c", "to": "right", "port": "right"},
            ("left", "left2"),
            ("left2", "join"),
            ("right", "join"),
        ],
    )
    ledger = await run(spec, n=3)
    assert ledger.statuses() == {
        "c": "succeeded",
        "left": "skipped",
        "left2": "skipped",
        "right": "succeeded",
        "join": "succeeded",
    }
    assert ended(ledger) == (ExecutionStatus.SUCCEEDED, {"left": None, "right": "right"})
    assert ledger.event_types("left2") == ["step.skipped"]


async def test_when_no_branch_is_taken_the_join_is_skipped_too() -> None:
    edges = [
        {"from": "a", "to": "b", "when": "false"},
        {"from": "a", "to": "c", "when": "1 > 2"},
        ("b", "d"),
        ("c", "d"),
    ]
    ledger = await run(graph(*[transform(n, "1") for n in "abcd"], edges=edges))
    assert ledger.statuses() == {"a": "succeeded", "b": "skipped", "c": "skipped", "d": "skipped"}
    assert ended(ledger) == (ExecutionStatus.SUCCEEDED, {})


@pytest.mark.parametrize(("n", "expected"), [(10, "big"), (3, "middle"), (0, "else")])
async def test_the_first_case_that_holds_wins(n: int, expected: str) -> None:
    spec = graph(
        condition("c", big="inputs.n > 5", middle="inputs.n > 1"),
        *[transform(name, f"'{name}'") for name in ("big", "middle", "other")],
        edges=[
            {"from": "c", "to": "big", "port": "big"},
            {"from": "c", "to": "middle", "port": "middle"},
            {"from": "c", "to": "other", "port": "else"},
        ],
    )
    ledger = await run(spec, n=n)
    assert ledger.outputs()["c"] == {"case": expected}
    ran = {node for node, status in ledger.statuses().items() if status == "succeeded"}
    assert ran == {"c", "other" if expected == "else" else expected}


async def test_an_edge_may_have_port_and_condition() -> None:
    edge = {"from": "c", "to": "t", "port": "yes", "when": "inputs.go"}
    spec = graph(condition("c", yes="true"), transform("t", "1"), edges=[edge])
    assert (await run(spec, go=True)).statuses()["t"] == "succeeded"
    assert (await run(spec, go=False)).statuses()["t"] == "skipped"


async def test_parallel_edges_to_one_node_run_it_once() -> None:
    spec = graph(
        condition("c", yes="true"),
        transform("t", "1"),
        edges=[{"from": "c", "to": "t", "port": "yes"}, {"from": "c", "to": "t", "port": "else"}],
    )
    ledger = await run(spec)
    assert ledger.statuses() == {"c": "succeeded", "t": "succeeded"}
    assert ledger.event_types("t") == ["step.started", "step.finished"]


# --- what the execution puts out --------------------------------------------------------------------------------


async def test_declared_outputs_come_first() -> None:
    spec = graph(transform("a", "1"), output("o", x="2"), outputs={"a": "nodes.a.output", "id": "execution.id"})
    ledger = await run(spec)
    assert ended(ledger)[1] == {"a": 1, "id": "01890000-0000-7000-8000-00000000e001"}


async def test_then_output_nodes_merged() -> None:
    ledger = await run(graph(output("o", x="1", y="1"), output("p", y="2"), transform("t", "3")))
    assert ended(ledger)[1] == {"x": 1, "y": 2}


async def test_then_the_last_nodes_by_id() -> None:
    ledger = await run(graph(*[transform(n, f"'{n}'") for n in "abc"], edges=[("a", "b"), ("a", "c")]))
    assert ended(ledger)[1] == {"b": "b", "c": "c"}


async def test_a_declared_output_of_a_skipped_node_is_null() -> None:
    spec = graph(
        transform("a", "1"),
        transform("b", "{'x': 1}"),
        edges=[{"from": "a", "to": "b", "when": "false"}],
        outputs={"b": "nodes.b.output.x", "a": "nodes.a.output"},
    )
    assert ended(await run(spec)) == (ExecutionStatus.SUCCEEDED, {"a": 1, "b": None})


async def test_outputs_that_cannot_be_made_fail_the_execution() -> None:
    ledger = await run(graph(transform("a", "{'x': 1}"), outputs={"y": "nodes.a.output.y"}))
    assert ledger.ended is not None
    assert ledger.ended.status is ExecutionStatus.FAILED
    assert ledger.ended.error == {
        "code": "expression_failed",
        "message": "outputs.y: there is no 'y' (there are: x)",
        "retryable": False,
        "node": None,
    }
    assert ledger.statuses() == {"a": "succeeded"}


# --- failure ----------------------------------------------------------------------------------------------------


async def test_a_failed_step_fails_the_execution_and_stops_its_siblings() -> None:
    stopped: list[str] = []

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        if plan.tasks[0].name == "Bad":
            await asyncio.sleep(0.01)
            raise StepFailed("no answer", code="answer_empty")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(plan.tasks[0].name)
            raise
        return ""

    spec = graph(
        task("bad", name="Bad"),
        task("sibling"),
        task("after"),
        task("never"),
        edges=[("bad", "after"), ("sibling", "never")],
    )
    ledger = MemoryLedger(spec_of(spec))
    assert await scripted(script).run(ledger) is Outcome.FAILED
    assert ledger.statuses() == {"bad": "failed", "sibling": "cancelled"}
    assert stopped == ["sibling"]
    assert ledger.ended is not None
    assert ledger.ended.error == {
        "code": "answer_empty",
        "message": "Bad: no answer",
        "retryable": True,
        "node": "bad",
    }
    assert ledger.event_types()[-2:] == ["execution.status", "done"]
    assert ledger.events[-1].data == {"status": "failed", "output": None, "error": ledger.ended.error}
    last = ledger.batches[-1]
    assert {step.node for step in last.steps} == {"bad", "sibling"}, "the failure and its consequences are one write"


@pytest.mark.parametrize(
    ("node", "field"),
    [
        (transform("t", "1 / 0"), "expression"),
        ({"id": "t", "type": "transform", "config": {"template": "{{ 1 / 0 }}"}}, "template"),
        (condition("t", yes="1 / 0 > 1"), "cases.0.when"),
        (output("t", ok="1", x="1 / 0"), "values.x"),
        (task("t", "{{ 1 / 0 }}", retry={"max": 3}), "description"),
    ],
)
async def test_expressions_that_fail_name_node_and_field(node: JsonObject, field: str) -> None:
    ledger = await run(graph(node))
    assert ledger.ended is not None
    assert ledger.ended.status is ExecutionStatus.FAILED
    error = ledger.ended.error or {}
    assert (error["code"], error["node"], error["retryable"]) == ("expression_failed", "t", False)
    assert error["message"] == f"t: {field}: division by zero"
    assert error["details"]["field"] == field
    assert ledger.steps["t", ""].status is StepStatus.FAILED
    assert ledger.steps["t", ""].attempt == 1
    assert ledger.event_types("t") == ["step.started", "step.finished"]


async def test_an_edge_that_cannot_be_decided_names_itself() -> None:
    edge = {"from": "a", "to": "b", "when": "nodes.a.output > 1"}
    ledger = await run(graph(transform("a", "'x'"), transform("b", "1"), edges=[edge]))
    assert ledger.statuses() == {"a": "succeeded"}
    assert ledger.ended is not None
    assert (ledger.ended.error or {})["message"] == "a: edge a -> b: > cannot compare string with int"


async def test_a_graph_that_goes_in_circles_ends() -> None:
    spec = graph(
        transform("a", "1"), transform("b", "1"), transform("c", "1"), edges=[("a", "b"), ("b", "c"), ("c", "b")]
    )
    ledger = await run(spec)
    assert ledger.ended is not None
    assert (ledger.ended.error or {})["code"] == "graph_invalid"


# --- cost -------------------------------------------------------------------------------------------------------


async def test_pure_steps_share_one_write() -> None:
    nodes = [transform(f"n{i}", "1") for i in range(50)]
    ledger = await run(graph(*nodes, edges=[(f"n{i}", f"n{i + 1}") for i in range(49)]))
    assert len(ledger.batches) == 1
    assert len(ledger.steps) == 50


async def test_a_chain_of_steps_that_call_costs_a_write_each() -> None:
    """Before each call what came before is made durable; the last answer, the last step and the end are one write."""
    nodes = [task(f"n{i}") for i in range(10)]
    ledger = await run(graph(*nodes, edges=[(f"n{i}", f"n{i + 1}") for i in range(9)]))
    assert len(ledger.batches) == 11
    second = ledger.batches[1]
    assert [(s.node, s.status.value) for s in second.steps] == [("n0", "succeeded"), ("n1", "running")]
    assert [c.status.value for c in second.calls] == ["succeeded"]


async def test_branches_that_run_side_by_side_share_writes() -> None:
    nodes = [task(f"n{i}") for i in range(20)]
    ledger = await run(graph(*nodes))
    assert len(ledger.batches) < 8


async def test_slow_pure_steps_leave_the_loop_to_others() -> None:
    busy = "[1,2,3,4,5,6,7,8,9].map(a, [1,2,3,4,5,6,7,8,9].map(b, [1,2,3,4,5,6,7,8,9].map(c, a * b * c)))"
    nodes = [transform(f"n{i}", busy) for i in range(100)]
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    watcher = asyncio.create_task(other())
    await run(graph(*nodes, edges=[(f"n{i}", f"n{i + 1}") for i in range(99)]))
    watcher.cancel()
    assert turns > 3


async def test_a_step_that_ends_while_pure_steps_give_way_is_no_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    nodes = [task("call"), *[transform(f"n{i}", "1") for i in range(20)]]
    ledger = await run(graph(*nodes, edges=[(f"n{i}", f"n{i + 1}") for i in range(19)]), scripted(nothing))
    assert ended(ledger)[0] is ExecutionStatus.SUCCEEDED
