"""Whatever was run comes out the same when it is run again from its journal; a changed engine shows."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.orchestration.engine.ports import (
    Action,
    CallFailed,
    CrewPlan,
    CrewResult,
    ModelReply,
    ModelRequest,
    Outside,
    StepCalls,
)
from services.orchestration.engine.replay.past import Past
from services.orchestration.engine.replay.replay import replay
from services.orchestration.engine.steps.agent_task.step import AgentTaskStep
from services.orchestration.engine.steps.transform.step import TransformStep
from shared.kit.json import Json, JsonObject
from tests.engine.fakes import (
    FakeModels,
    MemoryLedger,
    World,
    ask,
    condition,
    graph,
    scripted,
    spec_of,
    task,
    transform,
)
from tests.engine.made_up import MadeUp, MadeUpWorld, as_graph, made_up_graphs

PAUSES = st.lists(st.integers(0, 7), min_size=7, max_size=7)


def unanswering(agents: Any) -> Outside:
    """A world with these agents, in which every call would be counted."""
    world = World()
    return Outside(world.models, world.tools, world.knowledge, agents, world.http, world.sandbox, world.budgets)


async def replayed(ledger: MemoryLedger, world: World) -> JsonObject:
    state = await ledger.load()
    ended = ledger.ended
    assert ended is not None
    outside = unanswering(world.agents)
    report = await asyncio.wait_for(replay(Past(state, ended.status, ended.output, ended.error), outside), 20)
    assert isinstance(outside.models, FakeModels)
    assert outside.models.made == [], "a replay asks nobody"
    assert await ledger.load() == replace(state, attempts=state.attempts + 1), "and writes nothing"
    return report


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(nodes=made_up_graphs(), pauses=PAUSES)
def test_any_graph_comes_out_the_same(nodes: MadeUp, pauses: list[int]) -> None:
    """Save for steps that fail by themselves at one time and not at another: they are not deterministic."""
    nodes = tuple(replace(node, own_failures=0) for node in nodes)

    async def example() -> None:
        ledger = MemoryLedger(spec_of(as_graph(nodes)))
        world = MadeUpWorld(nodes, pauses)
        await world.world.run(ledger)
        report = await replayed(ledger, world.world)
        assert report["same"], report

    asyncio.run(example())


# --- bodies and waits -------------------------------------------------------------------------------------


def shaky(*bad: str) -> World:
    """Agents that ask about what they are told. The model refuses what is bad at once, and is slow with the rest."""

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        return (await calls.model(ask(plan.tasks[0].description))).text

    async def model(request: ModelRequest) -> ModelReply:
        question = request.messages[-1].content
        if question in bad:
            raise CallFailed("no", code="provider_refused", source="fake", retryable=False)
        await asyncio.sleep(0.001)
        return ModelReply(f"re: {question}")

    return scripted(script, models=FakeModels(model))


def nest(id_: str, type_: str, *nodes: JsonObject, edges: Any = (), **config: Any) -> JsonObject:
    inner = graph(*nodes, edges=edges)
    return {"id": id_, "type": type_, "config": {**config, "body": {"nodes": inner["nodes"], "edges": inner["edges"]}}}


async def test_maps_and_loops() -> None:
    rounds = nest(
        "rounds", "loop", task("say", "{{ string(item) }}-{{ string(iteration.index) }}"), until="iteration.index == 1"
    )
    last = transform("last", "nodes.rounds.output")
    each = nest("each", "map", rounds, last, edges=[("rounds", "last")], items="[1, 2, 3]")
    ledger = MemoryLedger(spec_of(graph(each, transform("all", "nodes.each.output"), edges=[("each", "all")])))
    world = shaky()
    await world.run(ledger)
    report = await replayed(ledger, world)
    assert (report["same"], report["calls_replayed"], report["steps_checked"]) == (True, 6, 14), report


@pytest.mark.parametrize("on_error", ["fail", "continue"])
async def test_a_map_with_failures(on_error: str) -> None:
    say = task("say", "{{ string(item) }}")
    side = task("side", "side {{ string(item) }}")
    each = nest("each", "map", say, side, transform("both", "nodes.say.output"),
                edges=[("say", "both"), ("side", "both")], items="[1, 2, 3]", on_error=on_error)  # fmt: skip
    ledger = MemoryLedger(spec_of(graph(task("apart", "apart"), each)))
    world = shaky("2")
    await world.run(ledger)
    report = await replayed(ledger, world)
    assert report["same"], report


@pytest.mark.parametrize("action", [Action.ACCEPT, Action.IGNORE])
async def test_what_a_person_said_counts_again(action: Action) -> None:
    approval = {"id": "may", "type": "approval", "config": {"title": "May {{ nodes.draft.output.text }} go out?"}}
    made = graph(
        task("draft", "draft"),
        approval,
        task("send", "send"),
        edges=[("draft", "may"), {"from": "may", "to": "send", "port": "approved"}],
    )
    ledger = MemoryLedger(spec_of(made))
    world = shaky()
    await world.run(ledger)
    ledger.answer(action)
    await world.run(ledger)
    assert ledger.statuses()["send"] == ("succeeded" if action is Action.ACCEPT else "skipped")
    report = await replayed(ledger, world)
    assert report["same"], report


async def test_what_was_cancelled_is_compared_as_far_as_it_came() -> None:
    stop = asyncio.Event()

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        first = await calls.model(ask("first"))
        stop.set()
        return first.text + (await calls.model(ask("second"))).text

    async def model(request: ModelRequest) -> ModelReply:
        if request.messages[-1].content == "second":
            await asyncio.sleep(60)
        return ModelReply("words")

    world = scripted(script, models=FakeModels(model))
    ledger = MemoryLedger(spec_of(graph(task("long"), transform("beside", "1"))))
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await stop.wait()
    await asyncio.sleep(0.02)
    runner.cancel()
    await running
    report = await replayed(ledger, world)
    assert (report["same"], report["steps_checked"], report["calls_replayed"]) == (True, 2, 1), report


# --- a changed engine -------------------------------------------------------------------------------------


async def ran() -> tuple[MemoryLedger, World]:
    made = graph(
        task("plan", "plan"),
        condition("size", big="nodes.plan.output.text.size() > 100"),
        transform("value", "nodes.plan.output.text"),
        task("end", "end {{ nodes.value.output }}"),
        edges=[("plan", "size"), ("plan", "value"), ("value", "end")],
    )
    ledger = MemoryLedger(spec_of(made))
    world = shaky()
    await world.run(ledger)
    report = await replayed(ledger, world)
    assert report["same"], report
    return ledger, world


async def test_an_engine_that_makes_something_else_of_it_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, world = await ran()
    evaluate = TransformStep.evaluate
    monkeypatch.setattr(TransformStep, "evaluate", lambda self, scope: [evaluate(self, scope)])  # pyright: ignore
    report = await replayed(ledger, world)
    assert not report["same"]
    told = {step["node"]: step for step in report["steps"]}
    assert told["value"]["expected"]["output"] == "re: plan"
    assert told["value"]["got"]["output"] == ["re: plan"]
    assert report["diverged"] == [{"node": "end", "path": ""}], "its prompt is another now"


async def test_an_engine_that_asks_something_else_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, world = await ran()
    render = AgentTaskStep.render
    monkeypatch.setattr(
        AgentTaskStep, "render", lambda self, scope: {**render(self, scope), "description": "politely"}  # pyright: ignore
    )  # fmt: skip
    report = await replayed(ledger, world)
    assert not report["same"]
    assert report["diverged"] == [{"node": "plan", "path": ""}]
    assert report["steps"][0]["got"]["error"]["code"] == "journal_diverged"


async def test_an_engine_that_asks_more_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, world = await ran()
    once = world.agents
    asked: Counter[str] = Counter()

    class Twice:
        async def run_crew(self, plan: CrewPlan, calls: StepCalls) -> CrewResult:
            asked["crews"] += 1
            await once.run_crew(plan, calls)
            return await once.run_crew(plan, calls)

    monkeypatch.setattr(world, "agents", Twice())
    report = await replayed(ledger, world)
    assert asked["crews"] == 1
    assert report["diverged"] == [{"node": "plan", "path": ""}]
    assert report["steps"][0]["got"]["error"]["code"] == "not_recorded"


async def test_large_outputs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, world = await ran()

    def evaluate(self: TransformStep, scope: Any) -> Json:
        return "x" * 100_000

    monkeypatch.setattr(TransformStep, "evaluate", evaluate)
    report = await replayed(ledger, world)
    assert len(str(report)) < 10_000
