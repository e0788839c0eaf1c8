"""Nodes that turn to other systems: what they ask, what they make of the answer, and what is never asked twice."""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.orchestration.adapters.http import OutboundHttp
from services.orchestration.engine.ports import Effect, HttpReply
from services.orchestration.engine.runner import Outcome
from shared.kit.json import JsonObject
from shared.net.policy import EgressPolicy
from shared.tools.outbound import Outbound
from shared.workflow.states import Action, WaitKind
from tests.engine.fakes import EXECUTION, Crash, FakeHttp, FakeTools, MemoryLedger, World, graph, spec_of
from tests.fakes.http_system import FakeHttpSystem

NO_DATABASE: Any = None


def http(url: str = "https://x.example/", **config: Any) -> JsonObject:
    return {"id": "h", "type": "http", "config": {"url": url, **config}}


def tool(name: str = "look", **config: Any) -> JsonObject:
    return {"id": "t", "type": "tool", "config": {"tool": name, **config}}


async def run(node: JsonObject, inputs: JsonObject | None = None, world: World | None = None) -> MemoryLedger:
    ledger = MemoryLedger(spec_of(graph(node)), inputs)
    await (world or World()).run(ledger)
    return ledger


def output(ledger: MemoryLedger) -> Any:
    (step,) = ledger.steps.values()
    assert step.status.value == "succeeded", step.error
    return step.output


def error(ledger: MemoryLedger) -> JsonObject:
    (step,) = ledger.steps.values()
    assert step.status.value == "failed"
    return step.error or {}


# --- http --------------------------------------------------------------------------------------------------------


async def test_a_request_is_made_of_templates() -> None:
    world = World(http=(fake := FakeHttp()))
    node = http(
        "https://x.example/{{ inputs.id }}?fixed=1#away",
        method="POST",
        headers={"X-Id": "{{ inputs.id }}", "X-No": "{{ inputs.none }}"},
        query={"q": "{{ inputs.id }}", "none": "{{ inputs.none }}", "n": "{{ inputs.n }}"},
        json="{'id': inputs.id, 'n': inputs.n + 1}",
        timeout_ms=1_500,
        max_bytes=99,
        connection_id="01890000-0000-7000-8000-00000000d001",
    )
    ledger = await run(node, {"id": "a/b c", "n": 2, "none": None}, world)
    [asked] = fake.made
    assert asked.url == "https://x.example/a%2Fb%20c?fixed=1&q=a%2Fb+c&n=2"
    assert (asked.method, asked.headers, asked.body) == ("POST", {"X-Id": "a/b c"}, {"id": "a/b c", "n": 3})
    assert (asked.effect, asked.timeout, asked.max_bytes) == (Effect.ONCE, 1.5, 99)
    assert str(asked.connection_id) == "01890000-0000-7000-8000-00000000d001"
    assert asked.fail_on_status
    assert output(ledger) == {
        "status": 200,
        "headers": {"content-type": "text/plain"},
        "text": f"POST {asked.url}",
        "data": None,
    }
    assert next(iter(ledger.steps.values())).input == {
        "method": "POST", "url": asked.url, "headers": asked.headers, "body": asked.body,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "effect"),
    [
        ({}, Effect.READ),
        ({"method": "HEAD"}, Effect.READ),
        ({"method": "DELETE"}, Effect.ONCE),
        ({"method": "PUT", "effect": "idempotent"}, Effect.IDEMPOTENT),
        ({"effect": "once"}, Effect.ONCE),
    ],
)
async def test_the_effect_is_what_is_said_or_what_the_method_means(config: JsonObject, effect: Effect) -> None:
    world = World(http=(fake := FakeHttp()))
    await run(http(**config), world=world)
    assert [asked.effect for asked in fake.made] == [effect]


@pytest.mark.parametrize(
    ("config", "body", "content_type"),
    [
        ({"json": "'text'"}, '"text"', "application/json"),
        ({"json": "null"}, "null", "application/json"),
        ({"json": "[1]"}, [1], None),
        ({"body": "n = {{ inputs.n }}"}, "n = 2", None),
        ({}, None, None),
    ],
)
async def test_bodies(config: JsonObject, body: Any, content_type: str | None) -> None:
    world = World(http=(fake := FakeHttp()))
    await run(http(method="POST", **config), {"n": 2}, world)
    assert (fake.made[0].body, fake.made[0].headers.get("Content-Type")) == (body, content_type)


async def test_the_url_may_be_what_another_step_gave() -> None:
    world = World(http=(fake := FakeHttp()))
    await run(http("{{ inputs.next }}&more={{ inputs.next }}"), {"next": "https://x.example/p?a=b"}, world)
    assert fake.made[0].url == "https://x.example/p?a=b&more=https%3A%2F%2Fx.example%2Fp%3Fa%3Db"


@pytest.mark.parametrize(
    ("node", "code", "words"),
    [
        (http("https://x.example/{{ inputs.up }}/admin"), "request_invalid", "no . and .."),
        (http("https://x.example/%2E%2e/admin"), "request_invalid", "no . and .."),
        (http(headers={"X": "{{ inputs.lines }}"}), "request_invalid", "one line"),
        (http(headers={"X": "{{ 1 + inputs.lines }}"}), "expression_failed", "headers.X"),
        (http("https://{{ inputs.absent.more }}"), "expression_failed", "url"),
        (http(method="POST", json="inputs.absent.more"), "expression_failed", "json"),
        (http("https://x.example/" + "x" * 9_000), "request_invalid", "longer than"),
    ],
)
async def test_a_request_that_cannot_be_made_is_not_sent(node: JsonObject, code: str, words: str) -> None:
    world = World(http=(fake := FakeHttp()))
    ledger = await run(node, {"up": "..", "lines": "a\r\nX-Evil: 1"}, world)
    assert error(ledger)["code"] == code
    assert words in error(ledger)["message"]
    assert fake.made == []


# --- tool --------------------------------------------------------------------------------------------------------


async def test_a_tool_gets_its_arguments_and_gives_text_and_data() -> None:
    world = World(tools=FakeTools(answers={"look": lambda given: '{"n": 3}'}))
    node = tool(arguments={"n": "inputs.n", "none": "null", "both": "[inputs.n, 1]"})
    assert output(await run(node, {"n": 2}, world)) == {"text": '{"n": 3}', "data": {"n": 3}}
    assert world.tools.made == [("look", {"n": 2, "both": [2, 1]})]
    assert [context.agent_id for context in world.tools.contexts] == [None]
    world.tools.answers["look"] = lambda given: "as text"
    assert output(await run(node, {"n": 2}, world)) == {"text": "as text", "data": None}


@pytest.mark.parametrize(("own", "said", "asks"), [(True, None, True), (True, False, False), (False, True, True)])
async def test_a_node_may_say_whether_a_person_is_asked(own: bool, said: bool | None, asks: bool) -> None:
    world = World(tools=FakeTools(approved={"look"} if own else set()))
    node = tool(arguments={"n": "1"}, **({} if said is None else {"needs_approval": said}))
    ledger = MemoryLedger(spec_of(graph(node)))
    assert await world.run(ledger) is (Outcome.WAITING if asks else Outcome.SUCCEEDED)
    if asks:
        (wait,) = ledger.open_waits()
        assert wait.kind is WaitKind.TOOL_APPROVAL
        assert world.tools.made == []
        ledger.answer(Action.EDIT, {"n": 7})
        assert await world.run(ledger) is Outcome.SUCCEEDED
        assert world.tools.made == [("look", {"n": 7})]


async def test_a_bad_argument_expression_names_itself() -> None:
    assert "arguments.n" in error(await run(tool(arguments={"n": "inputs.absent.more"})))["message"]


# --- against a system that misbehaves ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def system_process() -> Iterator[FakeHttpSystem]:
    with FakeHttpSystem() as server:
        yield server


@pytest.fixture
def system(system_process: FakeHttpSystem) -> FakeHttpSystem:
    system_process.reset()
    return system_process


@pytest.fixture
async def world(system: FakeHttpSystem) -> AsyncGenerator[World]:
    outbound = Outbound(NO_DATABASE, NO_DATABASE, EgressPolicy([system.place]))
    yield World(http=OutboundHttp(outbound))
    await outbound.close()


def post(system: FakeHttpSystem, effect: str, **more: Any) -> JsonObject:
    return {**http(f"{system.url}/pay", method="POST", json="{'a': 1}", effect=effect, timeout_ms=500), **more}


FAULTS = (
    {"behave": "answer", "status": 503, "headers": {"Retry-After": "0"}},
    {"behave": "answer", "status": 429},
    {"behave": "drop"},
    {"behave": "half"},
    {"behave": "garbage"},
    {"behave": "hang"},
)


@pytest.mark.parametrize("fault", FAULTS, ids=["503", "429", "drop", "half", "garbage", "hang"])
async def test_what_is_idempotent_is_tried_again_under_the_same_key(
    fault: JsonObject, world: World, system: FakeHttpSystem
) -> None:
    system.script({**fault, "times": 2})
    ledger = await run(post(system, "idempotent", retry={"max": 3, "backoff_ms": 1}), world=world)
    assert output(ledger)["status"] == 200
    assert system.keys() == {f"{EXECUTION}:h::1//http/0": 3}


@pytest.mark.parametrize("fault", FAULTS, ids=["503", "429", "drop", "half", "garbage", "hang"])
async def test_what_must_happen_once_is_not_tried_again(
    fault: JsonObject, world: World, system: FakeHttpSystem
) -> None:
    system.script(fault)
    ledger = await run(post(system, "once", retry={"max": 3, "backoff_ms": 1}), world=world)
    assert error(ledger)["code"] in ("http_503", "http_429", "connection_failed", "timeout")
    assert system.keys() == {f"{EXECUTION}:h::1//http/0": 1}


async def test_what_cannot_pass_is_not_tried_again(world: World, system: FakeHttpSystem) -> None:
    system.script({"behave": "answer", "status": 404, "text": "no such thing"})
    ledger = await run(http(f"{system.url}/x", **{}) | {"retry": {"max": 3, "backoff_ms": 1}}, world=world)
    assert (error(ledger)["code"], len(system.journal())) == ("http_404", 1)
    assert "404: no such thing" in error(ledger)["message"]


async def test_a_status_may_be_an_answer(world: World, system: FakeHttpSystem) -> None:
    system.script({"behave": "answer", "status": 404, "text": '{"a": 1}', "headers": {"X-A": "b"}})
    given = output(await run(http(f"{system.url}/x", fail_on_status=False), world=world))
    assert (given["status"], given["data"], given["headers"]["x-a"]) == (404, {"a": 1}, "b")


@pytest.mark.parametrize("write", range(4))
async def test_a_worker_that_dies_at_any_write_repeats_what_is_idempotent_under_one_key(
    write: int, world: World, system: FakeHttpSystem
) -> None:
    ledger = MemoryLedger(spec_of(graph(post(system, "idempotent"))))
    ledger.crash_at = write
    try:
        await world.run(ledger)
    except Crash:
        ledger.crash_at = None
        assert await world.run(ledger) is Outcome.SUCCEEDED
    assert output(ledger)["status"] == 200
    assert list(system.keys()) == [f"{EXECUTION}:h::1//http/0"]


async def test_a_retry_makes_its_calls_under_the_keys_of_what_it_retries(world: World, system: FakeHttpSystem) -> None:
    ledger = MemoryLedger(spec_of(graph(post(system, "idempotent"))))
    await crash(world, ledger, at=1)
    first = UUID("01890000-0000-7000-8000-00000000e0ff")
    ledger.steps = {place: replace(record, keyed_by=first) for place, record in ledger.steps.items()}
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert system.keys() == {f"{EXECUTION}:h::1//http/0": 1, f"{first}:h::1//http/0": 1}


async def test_a_worker_that_dies_before_a_call_is_recorded_as_begun_has_not_made_it(
    world: World, system: FakeHttpSystem
) -> None:
    ledger = MemoryLedger(spec_of(graph(post(system, "once"))))
    await crash(world, ledger, at=0)
    assert system.journal() == []
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert len(system.journal()) == 1


async def test_what_must_happen_once_and_may_have_happened_is_asked_of_a_person(
    world: World, system: FakeHttpSystem
) -> None:
    ledger = MemoryLedger(spec_of(graph(post(system, "once"))))
    await crash(world, ledger, at=1)
    assert await world.run(ledger) is Outcome.WAITING
    (wait,) = ledger.open_waits()
    asked: Any = wait.request
    assert wait.kind is WaitKind.CALL_IN_DOUBT
    assert asked["request"]["url"] == f"{system.url}/pay"
    assert system.keys() == {asked["idempotency_key"]: 1}, "what it can be looked up by there"
    ledger.answer(Action.RESPOND, {"status": 201, "text": "it was made"})
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert output(ledger)["text"] == "it was made"
    assert len(system.journal()) == 1


async def crash(world: World, ledger: MemoryLedger, at: int) -> None:
    ledger.crash_at = at
    with pytest.raises(Crash):
        await world.run(ledger)
    ledger.crash_at = None


async def test_an_answer_is_recorded_as_it_was_given() -> None:
    """A replay gives the step the same, odd characters and all."""
    fake = FakeHttp(answer=lambda _: HttpReply(200, {"a": "b"}, "nul \x00", {"x": "nul \x00"}))
    given = output(await run(http(), world=World(http=fake)))
    assert given["text"] == "nul \\u0000"
    assert given["data"] == {"x": "nul \\u0000"}
