"""Tools that a person must agree to, and calls of which nobody knows whether they took effect."""

from typing import Any

import pytest

from services.orchestration.engine.ports import (
    Action,
    CallStatus,
    CrewPlan,
    Effect,
    HttpRequest,
    StepCalls,
    WaitKind,
    WaitStatus,
)
from services.orchestration.engine.runner import Outcome
from shared.kit.json import Json, JsonObject
from tests.engine.fakes import (
    AGENT,
    EXECUTION,
    Crash,
    FakeTools,
    MemoryLedger,
    World,
    ask,
    graph,
    scripted,
    spec_of,
    task,
)

OWN_TOOL: JsonObject = {
    "id": "01890000-0000-7000-8000-00000000f001",
    "kind": "http",
    "description": "Sends a letter",
    "parameters": {"type": "object", "properties": {"to": {"type": "string"}}},
    "effect": "idempotent",
    "needs_approval": True,
    "config": {"url": "https://letters.example"},
}


async def pay(plan: CrewPlan, calls: StepCalls) -> str:
    await calls.model(ask("whom?"))
    return await calls.tool("pay", {"to": "Bob"}, agent_id=AGENT)


async def send(plan: CrewPlan, calls: StepCalls) -> str:
    request = HttpRequest("POST", "https://bank.example/pay", {}, {"to": "Bob"}, Effect.ONCE, 10, 1000)
    reply = await calls.http(request)
    return f"{reply.status} {reply.text} {reply.data}"


def one_task(**more: Any) -> MemoryLedger:
    return MemoryLedger(spec_of(graph(task("t", **more))))


def text(ledger: MemoryLedger) -> str:
    output: Any = ledger.outputs()["t"]
    return output["text"]


# --- approval ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "value", "result", "made"),
    [
        (Action.ACCEPT, None, "pay: {'to': 'Bob'}", [{"to": "Bob"}]),
        (Action.EDIT, {"to": "Eve"}, "pay: {'to': 'Eve'}", [{"to": "Eve"}]),
        (Action.IGNORE, None, "A person declined this call.", []),
        (Action.RESPOND, "paid by hand", "paid by hand", []),
        (Action.RESPOND, {"paid": True}, '{"paid":true}', []),
    ],
)
async def test_a_person_decides_on_a_tool_call(action: Action, value: Json, result: str, made: list[Any]) -> None:
    world = scripted(pay, tools=FakeTools(approved={"pay"}))
    ledger = one_task()
    assert await world.run(ledger) is Outcome.WAITING
    assert world.tools.made == []
    (wait,) = ledger.open_waits()
    assert (wait.kind, wait.title) == (WaitKind.TOOL_APPROVAL, "Ada wants to use pay")
    assert wait.request == {
        "tool": "pay",
        "arguments": {"to": "Bob"},
        "agent": "Ada",
        "parameters": {"type": "object"},
    }
    ledger.answer(action, value)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert text(ledger) == result
    assert [arguments for _, arguments in world.tools.made] == made
    assert world.models.made == ["whom?"]


async def test_an_approval_that_nobody_gave_in_time() -> None:
    world = scripted(pay, tools=FakeTools(approved={"pay"}))
    ledger = one_task()
    await world.run(ledger)
    ledger.settle(ledger.open_waits()[0], None, WaitStatus.EXPIRED)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert text(ledger) == "Nobody approved this call in time."
    assert world.tools.made == []


@pytest.mark.parametrize(("tool_says", "caller_says", "asks"), [(True, False, False), (False, True, True)])
async def test_the_caller_may_decide_whether_anybody_is_asked(tool_says: bool, caller_says: bool, asks: bool) -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        return await calls.tool("pay", {}, needs_approval=caller_says)

    world = scripted(script, tools=FakeTools(approved={"pay"} if tool_says else set()))
    assert await world.run(one_task()) is (Outcome.WAITING if asks else Outcome.SUCCEEDED)


async def test_tools_of_the_tenants_own_come_from_the_snapshot() -> None:
    async def script(plan: CrewPlan, calls: StepCalls) -> str:
        assert calls.describe_tool("letter").parameters == OWN_TOOL["parameters"]
        return await calls.tool("letter", {"to": "Bob"}, agent_id=AGENT)

    world = scripted(script)
    ledger = MemoryLedger({**spec_of(graph(task("t"))), "tools": {"letter": OWN_TOOL}})
    assert await world.run(ledger) is Outcome.WAITING
    ledger.answer(Action.ACCEPT)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    (context,) = world.tools.contexts
    assert (context.definition, context.agent_id) == (OWN_TOOL, AGENT)
    (call,) = ledger.calls.values()
    assert call.effect is Effect.IDEMPOTENT
    assert context.idempotency_key == f"{EXECUTION}:t::1//tool/0"


# --- in doubt ------------------------------------------------------------------------------------------------------


async def in_doubt(world: World, ledger: MemoryLedger, write: int) -> None:
    """The worker dies between the effect and its record."""
    ledger.crash_at = write
    with pytest.raises(Crash):
        await world.run(ledger)
    ledger.crash_at = None
    assert [call.status for call in ledger.calls.values()][-1] is CallStatus.STARTED
    assert await world.run(ledger) is Outcome.WAITING


def paying() -> World:
    return scripted(pay, tools=FakeTools(effects={"pay": Effect.ONCE}))


async def test_what_is_asked_of_a_call_in_doubt() -> None:
    world, ledger = paying(), one_task()
    await in_doubt(world, ledger, 2)
    (wait,) = ledger.open_waits()
    asked: Any = wait.request
    assert (wait.kind, wait.title, wait.key) == (
        WaitKind.CALL_IN_DOUBT,
        "Did pay take effect?",
        "1//tool/0/doubt/1",
    )
    assert asked.pop("started_at").startswith("20")
    assert asked == {
        "call": "1//tool/0",
        "name": "pay",
        "arguments": {"to": "Bob"},
        "idempotency_key": f"{EXECUTION}:t::1//tool/0",
    }
    assert len(world.tools.made) == 1


async def test_a_person_says_what_the_call_answered() -> None:
    world, ledger = paying(), one_task()
    await in_doubt(world, ledger, 2)
    ledger.answer(Action.RESPOND, "it did, no. 7")
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert text(ledger) == "it did, no. 7"
    assert len(world.tools.made) == 1
    call = list(ledger.calls.values())[-1]
    assert (call.status, call.response, call.tries) == (CallStatus.SUCCEEDED, "it did, no. 7", 1)
    assert ledger.event_types("t").count("tool.result") == 1


async def test_a_person_has_it_made_again_and_again_in_doubt_it_is_asked_again() -> None:
    world, ledger = paying(), one_task()
    await in_doubt(world, ledger, 2)
    ledger.answer(Action.ACCEPT)
    await in_doubt(world, ledger, len(ledger.batches) + 1)
    assert [wait.key for wait in ledger.open_waits()] == ["1//tool/0/doubt/2"]
    ledger.answer(Action.ACCEPT)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert len(world.tools.made) == 3
    assert list(world.tools.keys.values()) == [3], "under one idempotency key"
    assert next(reversed(ledger.calls.values())).tries == 3


@pytest.mark.parametrize("expired", [False, True])
async def test_nobody_knows(expired: bool) -> None:
    world, ledger = paying(), one_task(retry={"max": 5, "backoff_ms": 0})
    await in_doubt(world, ledger, 2)
    if expired:
        ledger.settle(ledger.open_waits()[0], None, WaitStatus.EXPIRED)
    else:
        ledger.answer(Action.IGNORE)
    assert await world.run(ledger) is Outcome.FAILED
    assert len(world.tools.made) == 1
    error = (ledger.ended and ledger.ended.error) or {}
    assert error["code"] == "call_in_doubt"
    assert "pay" in error["message"]


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ('{"paid": 1}', "200 {\"paid\": 1} {'paid': 1}"),
        ("as plain text", "200 as plain text None"),
        ({"status": 201, "text": "made"}, "201 made None"),
        ({"paid": 1}, "200 {\"paid\":1} {'paid': 1}"),
    ],
)
async def test_a_request_in_doubt_is_answered_by_a_person(value: Json, result: str) -> None:
    world, ledger = scripted(send), one_task()
    await in_doubt(world, ledger, 1)
    (wait,) = ledger.open_waits()
    asked: Any = wait.request
    assert asked["request"]["url"] == "https://bank.example/pay"
    ledger.answer(Action.RESPOND, value)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert text(ledger) == result
