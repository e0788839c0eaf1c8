"""Record and replay: what is asked again after a crash, and what never is."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from services.orchestration.engine import journal as journal_module
from services.orchestration.engine.ports import (
    CallFailed,
    CallKind,
    CallStatus,
    ChatMessage,
    CrewPlan,
    Delta,
    Effect,
    Found,
    KnowledgeRequest,
    ModelReply,
    ModelRequest,
    Passage,
    StepAborted,
    StepCalls,
    StepStatus,
    ToolCall,
    ToolSpec,
    Usage,
    WaitKind,
)
from services.orchestration.engine.runner import Outcome
from tests.engine.fakes import (
    AGENT,
    BASE,
    MODEL,
    Crash,
    FakeModels,
    FakeTools,
    MemoryLedger,
    World,
    ask,
    eventually,
    graph,
    scripted,
    spec_of,
    task,
)


def one_task(**more: Any) -> MemoryLedger:
    return MemoryLedger(spec_of(graph(task("t", **more))))


async def crash_then_resume(world: World, ledger: MemoryLedger, write: int, *, after: bool = False) -> Outcome:
    ledger.crash_at, ledger.crash_after_write = write, after
    with pytest.raises(Crash):
        await world.run(ledger)
    ledger.crash_at = None
    assert ledger.ended is None, "nobody would claim it again"
    return await world.run(ledger)


async def four_calls(plan: CrewPlan, calls: StepCalls) -> str:
    texts = [(await calls.model(ask(f"q{n}"), agent_id=AGENT)).text for n in range(2)]
    texts.append(await calls.tool("search", {"q": texts[-1]}))
    texts.append(str(len((await calls.knowledge(KnowledgeRequest((BASE,), "bees", 3))).passages)))
    return "|".join(texts)


FOUR = {"text": "re: q0|re: q1|search: {'q': 're: q1'}|0", "data": None, "citations": []}


# --- records ----------------------------------------------------------------------------------------------------


async def test_what_a_call_leaves_behind() -> None:
    ledger = one_task()
    world = scripted(four_calls)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.outputs()["t"] == FOUR
    keys = [record.key for record in ledger.calls.values()]
    assert keys == ["1//llm/0", "1//llm/1", "1//tool/0", "1//knowledge/0"]
    llm, _, tool, knowledge = ledger.calls.values()
    assert (llm.kind, llm.effect, llm.name, llm.model_id, llm.agent_id) == (
        CallKind.LLM, Effect.READ, "fake-model", MODEL, AGENT,
    )  # fmt: skip
    assert (llm.input_tokens, llm.output_tokens, llm.cost) == (10, 5, Decimal("0.001"))
    assert llm.request == {"model_id": str(MODEL), "messages": [{"role": "user", "content": "q0"}]}
    assert llm.started_at is not None
    assert llm.finished_at is not None
    assert tool.request == {"name": "search", "arguments": {"q": "re: q1"}, "knowledge_base_ids": []}
    assert tool.response == "search: {'q': 're: q1'}"
    assert (knowledge.kind, knowledge.response) == (CallKind.KNOWLEDGE, [])


async def test_the_stream_of_a_step() -> None:
    ledger = one_task()
    await scripted(four_calls).run(ledger)
    assert ledger.event_types("t") == [
        "step.started",
        "message.delta",
        "usage",
        "message.delta",
        "usage",
        "tool.call",
        "tool.result",
        "step.finished",
    ]
    by_type = {event.type: event.data for event in ledger.events}
    assert by_type["usage"] == {"model": "fake-model", "input_tokens": 10, "output_tokens": 5, "cost": "0.001"}
    assert by_type["message.delta"] == {"text": "re: q1", "call": "1//llm/1", "agent": str(AGENT)}
    assert by_type["tool.call"] == {"call": "1//tool/0", "name": "search", "arguments": {"q": "re: q1"}}
    assert by_type["tool.result"]["result"] == "search: {'q': 're: q1'}"


async def test_a_reply_is_replayed_whole() -> None:
    reply = ModelReply(
        text="é\ud800".encode("utf-8", "replace").decode(),
        tool_calls=(ToolCall("id1", "search", {"q": [1, None]}),),
        reasoning="hm",
        data={"x": 1.5},
        usage=Usage(1, 2, Decimal("0.000001")),
        finish_reason="tool_calls",
    )
    passage = Passage(BASE, AGENT, "doc", MODEL, "text", 0.5, 3, 10, 20)
    seen: list[Any] = []

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        request = ModelRequest(
            MODEL,
            (
                ChatMessage("system", "s"),
                ChatMessage("assistant", "", (ToolCall("i", "n", {}),)),
                ChatMessage("tool", "r", tool_call_id="i"),
            ),
            tools=(ToolSpec("search", "d", {"type": "object"}, Effect.READ),),
            response_schema={"type": "object"},
            temperature=0.0,
            max_tokens=5,
            stop=("x",),
        )
        seen.append((await calls.model(request), await calls.knowledge(KnowledgeRequest((BASE,), "q", 1))))
        return (await calls.model(ask("last"))).text

    world = scripted(script, models=FakeModels(lambda request: reply))
    world.knowledge.passages = [passage]
    ledger = one_task()
    assert await crash_then_resume(world, ledger, write=3) is Outcome.SUCCEEDED
    assert seen == [(reply, Found((passage,)))] * 2
    assert world.models.made == ["r", "last", "last"]
    (request,) = [c.request for c in ledger.calls.values() if c.key == "1//llm/0"]
    assert set(request) == {
        "model_id", "messages", "tools", "response_schema", "temperature", "max_tokens", "stop",
    }  # fmt: skip


# --- replay -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "after", "twice"),
    [
        (0, False, None),
        (0, True, None),
        (1, False, "q0"),
        (1, True, None),
        (2, False, "q1"),
        (2, True, None),
        (3, False, "search"),
        (3, True, None),
        (4, False, "bees"),
    ],
)
async def test_a_resumed_step_asks_only_what_has_no_answer_yet(write: int, after: bool, twice: str | None) -> None:
    """Write 0 is the start, 1 to 3 the first answers, 4 the last answer and the end."""
    world = scripted(four_calls)
    ledger = one_task()
    assert await crash_then_resume(world, ledger, write, after=after) is Outcome.SUCCEEDED
    asked = world.models.made + [name for name, _ in world.tools.made] + world.knowledge.made
    questions = ["q0", "q1", "search", "bees"]
    assert {each: asked.count(each) for each in questions} == {each: 2 if each == twice else 1 for each in questions}
    assert ledger.outputs()["t"] == FOUR


async def test_replayed_answers_leave_no_second_trace_in_the_stream() -> None:
    world = scripted(four_calls)
    ledger = one_task()
    await crash_then_resume(world, ledger, write=3, after=True)
    assert ledger.event_types("t").count("usage") == 2
    assert ledger.event_types("t").count("tool.result") == 1
    assert ledger.event_types("t").count("step.started") == 2
    assert ledger.steps["t", ""].attempt == 1


async def test_nothing_is_asked_before_the_last_answer_is_durable() -> None:
    """At the moment of the second call, the first is on record: a crash there costs one call, not two."""
    ledger = one_task()

    def answer(request: ModelRequest) -> ModelReply:
        recorded = [c.request for c in ledger.calls.values() if c.status is CallStatus.SUCCEEDED]
        return ModelReply(f"{len(recorded)} on record")

    world = scripted(four_calls, models=FakeModels(answer))
    await world.run(ledger)
    output: Any = ledger.outputs()["t"]
    assert output["text"].startswith("0 on record|1 on record|")


async def test_scopes_keep_work_side_by_side_apart() -> None:
    """The two sub-tasks overlap in another order on replay, and still get their own answers."""
    order = [0.0, 0.05]

    async def part(calls: StepCalls, name: str, pause: float) -> str:
        with calls.scope(name):
            await asyncio.sleep(pause)
            first = await calls.model(ask(f"{name} 1"))
            with calls.scope("inner"):
                second = await calls.model(ask(f"{name} 2"))
        return f"{first.text} {second.text}"

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        parts = await asyncio.gather(part(calls, "a", order[0]), part(calls, "b", order[1]))
        order.reverse()
        return "|".join(parts) + (await calls.model(ask("end"))).text

    world = scripted(script)
    ledger = one_task()
    assert await crash_then_resume(world, ledger, write=5) is Outcome.SUCCEEDED
    assert world.models.made.count("a 1") == world.models.made.count("b 2") == 1
    assert {key for _, key in ledger.calls} == {
        "1/a/llm/0", "1/a.inner/llm/0", "1/b/llm/0", "1/b.inner/llm/0", "1//llm/0",
    }  # fmt: skip
    assert ledger.outputs()["t"] == {"text": "re: a 1 re: a 2|re: b 1 re: b 2re: end", "data": None, "citations": []}


async def test_a_replay_that_asks_something_else_stops() -> None:
    runs = 0

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        nonlocal runs
        runs += 1
        first = await calls.model(ask(f"run {runs}"))
        return (await calls.model(ask(first.text))).text

    world = scripted(script)
    ledger = one_task(retry={"max": 5, "backoff_ms": 0})
    assert await crash_then_resume(world, ledger, write=2) is Outcome.FAILED
    assert ledger.ended is not None
    error = ledger.ended.error or {}
    assert (error["code"], error["node"], error["retryable"]) == ("journal_diverged", "t", False)
    assert "1//llm/0" in error["message"]
    assert ledger.steps["t", ""].attempt == 1


async def test_an_abort_counts_even_if_the_agent_swallows_it() -> None:
    runs = 0

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        nonlocal runs
        runs += 1
        try:
            await calls.model(ask(f"run {runs}"))
        except StepAborted:
            return "never mind"
        return (await calls.model(ask("more"))).text

    ledger = one_task()
    assert await crash_then_resume(scripted(script), ledger, write=2) is Outcome.FAILED
    assert (ledger.steps["t", ""].error or {})["code"] == "journal_diverged"


# --- effects ----------------------------------------------------------------------------------------------------


def tools(effect: Effect) -> FakeTools:
    return FakeTools(effects={"pay": effect})


async def pay(plan: CrewPlan, calls: StepCalls) -> str:
    paid = await calls.tool("pay", {"amount": 5})
    return (await calls.model(ask(paid))).text


async def test_a_repeated_call_carries_the_same_idempotency_key() -> None:
    world = scripted(pay, tools=tools(Effect.IDEMPOTENT))
    assert await crash_then_resume(world, one_task(), write=1) is Outcome.SUCCEEDED
    assert len(world.tools.made) == 2
    assert world.tools.keys == {"01890000-0000-7000-8000-00000000e001:t::1//tool/0": 2}


async def test_once_is_on_record_before_it_is_made() -> None:
    ledger = one_task()
    world = scripted(pay, tools=tools(Effect.ONCE))
    seen: list[CallStatus] = []

    def answer(arguments: Any) -> str:
        seen.extend(call.status for call in ledger.calls.values())
        return "paid"

    world.tools.answers["pay"] = answer
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert seen == [CallStatus.STARTED]


async def test_once_with_its_outcome_on_record_is_replayed() -> None:
    world = scripted(pay, tools=tools(Effect.ONCE))
    assert await crash_then_resume(world, one_task(), write=2) is Outcome.SUCCEEDED
    assert len(world.tools.made) == 1


async def test_once_that_failed_is_not_tried_again() -> None:
    world = scripted(pay, tools=tools(Effect.ONCE))

    def broken(arguments: Any) -> str:
        raise CallFailed("declined", code="tool_failed", source="pay", retryable=True)

    world.tools.answers["pay"] = broken
    ledger = one_task(retry={"max": 5, "backoff_ms": 0})
    assert await world.run(ledger) is Outcome.FAILED
    assert len(world.tools.made) == 1


@pytest.mark.parametrize("stop", ["park", "cancel"])
async def test_a_stopped_step_waits_for_a_call_that_must_not_be_in_doubt(stop: str) -> None:
    world = scripted(pay, tools=tools(Effect.ONCE))
    called = asyncio.Event()

    async def slow(arguments: Any) -> str:
        called.set()
        await asyncio.sleep(0.05)
        return "paid"

    world.tools.answers["pay"] = slow
    ledger = one_task()
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await called.wait()
    getattr(runner, stop)()
    await running
    (call,) = ledger.calls.values()
    assert (call.status, call.response) == (CallStatus.SUCCEEDED, "paid")
    if stop == "park":
        assert await world.run(ledger) is Outcome.SUCCEEDED
        assert len(world.tools.made) == 1


async def test_a_call_that_does_not_end_in_time_stays_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "CALL_GRACE", 0.01)
    world = scripted(pay, tools=tools(Effect.ONCE))
    called = asyncio.Event()

    async def endless(arguments: Any) -> str:
        called.set()
        await asyncio.sleep(60)
        return ""

    world.tools.answers["pay"] = endless
    ledger = one_task()
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await called.wait()
    runner.park()
    assert await running is Outcome.PARKED
    assert await world.run(ledger) is Outcome.WAITING
    assert [wait.kind for wait in ledger.open_waits()] == [WaitKind.CALL_IN_DOUBT]


# --- after the attempt ------------------------------------------------------------------------------------------


async def test_what_outlives_its_attempt_makes_no_more_calls() -> None:
    """A thread or task that an agent library left behind."""
    left_behind: list[asyncio.Task[Any]] = []

    async def straggler(calls: StepCalls) -> None:
        await asyncio.sleep(0.01)
        calls.log("info", "still here")
        await calls.model(ask("late"))

    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        left_behind.append(asyncio.create_task(straggler(calls)))
        return "done"

    world = scripted(script)
    assert await world.run(one_task()) is Outcome.SUCCEEDED
    with pytest.raises(StepAborted):
        await left_behind[0]
    assert world.models.made == []


# --- text on its way --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("lingering")
async def test_deltas_are_gathered_and_none_is_lost() -> None:
    text = "".join(f"word{n} " for n in range(200))

    class Slow(FakeModels):
        async def complete(self, tenant_id: Any, request: ModelRequest, on_delta: Any) -> ModelReply:
            for start in range(0, len(text), 10):
                on_delta(Delta("message", text[start : start + 10]))
                await asyncio.sleep(0.001)
            on_delta(Delta("reasoning", "hm"))
            return ModelReply(text)

    ledger = one_task()
    began = asyncio.get_running_loop().time()
    await scripted(four_calls, models=Slow()).run(ledger)
    took = asyncio.get_running_loop().time() - began
    deltas = [e for e in ledger.events if e.type == "message.delta"]
    for call in ("1//llm/0", "1//llm/1"):
        assert "".join(e.data["text"] for e in deltas if e.data["call"] == call) == text
    assert 4 <= len(deltas) <= 2 * (took / 0.05 + 3)
    assert deltas[0].data["text"] == text[:10], "the first goes out at once"
    assert [e.data["text"] for e in ledger.events if e.type == "reasoning.delta"] == ["hm", "hm"]


@pytest.mark.usefixtures("lingering")
async def test_the_first_text_is_written_while_the_model_still_talks() -> None:
    ledger = one_task()
    seen: list[str] = []

    class Talking(FakeModels):
        async def complete(self, tenant_id: Any, request: ModelRequest, on_delta: Any) -> ModelReply:
            on_delta(Delta("message", "Once"))
            await eventually(lambda: "message.delta" in ledger.event_types())
            seen.extend(e.data["text"] for e in ledger.events if e.type == "message.delta")
            return ModelReply("Once")

    await World(models=Talking()).run(ledger)
    assert seen == ["Once"]


async def test_a_record_is_running_until_its_end() -> None:
    ledger = one_task()
    await scripted(four_calls).run(ledger)
    assert [s.status for b in ledger.batches for s in b.steps] == [StepStatus.RUNNING, StepStatus.SUCCEEDED]


async def test_an_answer_that_no_record_can_hold_is_given_as_it_is_recorded() -> None:
    """NUL and half a surrogate pair, which Postgres refuses: what is asked next must be the same on a replay."""

    async def pass_on(plan: CrewPlan, calls: StepCalls) -> str:
        first = await calls.model(ask("q"), agent_id=AGENT)
        return (await calls.tool("search", {"q": first.text})) + first.text

    ledger = one_task()
    models = FakeModels(answer=lambda _: ModelReply("a\x00b\ud800"))
    world = scripted(pass_on, models=models, tools=FakeTools(answers={"search": lambda given: given["q"] + "\x00"}))

    assert await world.run(ledger) is Outcome.SUCCEEDED

    shown = "a\\u0000b\\ud800"
    assert ledger.outputs()["t"]["text"] == f"{shown}\\u0000{shown}"
    model, tool = ledger.calls.values()
    assert model.response["text"] == shown
    assert (tool.request["arguments"], tool.response) == ({"q": shown}, f"{shown}\\u0000")
