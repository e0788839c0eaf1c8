"""Approvals, questions, delays and workflows within workflows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.orchestration.engine.ports import Action, Answer, WaitKind, WaitRecord, WaitStatus
from services.orchestration.engine.runner import Outcome
from shared.kit.json import Json, JsonObject
from tests.engine.fakes import TENANT, MemoryLedger, World, graph, output, spec_of, transform

CHILD = "01890000-0000-7000-8000-000000000101"
AT = "2026-01-02T00:00:00+00:00"


def node(type_: str, **config: Any) -> JsonObject:
    return {"id": "n", "type": type_, "config": config}


async def asked(ledger: MemoryLedger) -> WaitRecord:
    assert await World().run(ledger) is Outcome.WAITING
    (wait,) = ledger.open_waits()
    return wait


async def ended(ledger: MemoryLedger, outcome: Outcome = Outcome.SUCCEEDED) -> Any:
    assert await World().run(ledger) is outcome
    return ledger.outputs()["n"] if outcome is Outcome.SUCCEEDED else (ledger.steps["n", ""].error or {})


# --- approval ------------------------------------------------------------------------------------------------------


def approval(**config: Any) -> MemoryLedger:
    nodes = [
        node("approval", **{"title": "Send {{ inputs.what }}?", "payload": "[inputs.what]", **config}),
        transform("yes", "'yes'"),
        transform("no", "'no'"),
    ]
    edges = [{"from": "n", "to": "yes", "port": "approved"}, {"from": "n", "to": "no", "port": "rejected"}]
    return MemoryLedger(spec_of(graph(*nodes, edges=edges)), {"what": "it"})


async def test_what_is_shown_of_an_approval_and_to_whom() -> None:
    escalate = {"after_ms": 500, "assignee": {"role": "admin"}}
    wait = await asked(
        approval(message="now", editable=True, assignee={"user_id": str(TENANT)}, expires_in_ms=1500, escalate=escalate)
    )
    assert (wait.kind, wait.title) == (WaitKind.APPROVAL, "Send it?")
    assert wait.request == {"message": "now", "payload": ["it"], "editable": True}
    to = wait.audience
    assert (to.user_id, to.role, to.escalate_after, to.escalate_user_id, to.escalate_role) == (
        TENANT,
        None,
        0.5,
        None,
        "admin",
    )
    assert wait.due_at is not None
    assert (wait.due_at - wait.created_at).total_seconds() == 1.5


@pytest.mark.parametrize(
    ("editable", "action", "value", "case", "payload", "comment"),
    [
        (False, Action.ACCEPT, None, "approved", ["it"], None),
        (False, Action.IGNORE, None, "rejected", ["it"], None),
        (False, Action.RESPOND, "not like this", "rejected", ["it"], "not like this"),
        (True, Action.EDIT, ["that"], "approved", ["that"], None),
        (False, Action.EDIT, ["that"], "rejected", ["it"], None),
    ],
)
async def test_what_comes_of_an_approval(
    editable: bool, action: Action, value: Json, case: str, payload: Json, comment: Json
) -> None:
    ledger = approval(editable=editable)
    await asked(ledger)
    ledger.answer(action, value)
    result = await ended(ledger)
    assert result == {"case": case, "payload": payload, "comment": comment, "by": str(TENANT), "at": AT}
    other = {"approved": "no", "rejected": "yes"}[case]
    assert ledger.statuses()[other] == "skipped"


@pytest.mark.parametrize(("on_expiry", "case"), [("approve", "approved"), ("reject", "rejected"), ("fail", None)])
async def test_an_approval_that_nobody_gave(on_expiry: str, case: str | None) -> None:
    ledger = approval(on_expiry=on_expiry, expires_in_ms=10)
    ledger.settle(await asked(ledger), None, WaitStatus.EXPIRED)
    if case is None:
        assert (await ended(ledger, Outcome.FAILED))["code"] == "approval_expired"
    else:
        assert await ended(ledger) == {"case": case, "payload": ["it"], "comment": None, "by": None, "at": None}


# --- question ------------------------------------------------------------------------------------------------------


def question(**config: Any) -> MemoryLedger:
    return MemoryLedger(spec_of(graph(node("question", question="Which {{ 1 + 1 }}?", **config))))


@pytest.mark.parametrize(
    ("action", "value", "answer", "answered"),
    [(Action.RESPOND, "red", "red", True), (Action.RESPOND, None, None, True), (Action.IGNORE, None, "blue", False)],
)
async def test_what_comes_of_a_question(action: Action, value: Json, answer: Json, answered: bool) -> None:
    ledger = question(choices=["red", "blue"], default="blue")
    wait = await asked(ledger)
    assert (wait.title, wait.request) == (
        "n",
        {"question": "Which 2?", "answer_schema": None, "choices": ["red", "blue"]},
    )
    ledger.answer(action, value)
    assert await ended(ledger) == {"answer": answer, "answered": answered, "by": str(TENANT), "at": AT}


@pytest.mark.parametrize("on_expiry", ["fail", "continue"])
async def test_a_question_that_nobody_answered(on_expiry: str) -> None:
    ledger = question(default=7, on_expiry=on_expiry, expires_in_ms=10)
    ledger.settle(await asked(ledger), None, WaitStatus.EXPIRED)
    if on_expiry == "fail":
        assert (await ended(ledger, Outcome.FAILED))["code"] == "question_expired"
    else:
        assert await ended(ledger) == {"answer": 7, "answered": False, "by": None, "at": None}


# --- delay ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "seconds"), [({"for_ms": 1500}, 1.5), ({"for": "60 * 2"}, 120)])
async def test_a_delay_for_a_while(config: JsonObject, seconds: float) -> None:
    ledger = MemoryLedger(spec_of(graph(node("delay", **config))))
    wait = await asked(ledger)
    assert wait.kind is WaitKind.TIMER
    assert wait.due_at is not None
    assert (wait.due_at - wait.created_at).total_seconds() == seconds
    ledger.settle(wait, None, WaitStatus.EXPIRED)
    assert await ended(ledger) == {"waited_until": wait.due_at.isoformat()}


async def test_a_delay_until_a_time() -> None:
    ledger = MemoryLedger(spec_of(graph(node("delay", until="{{ inputs.day }}T09:00:00+01:00"))), {"day": "2030-01-31"})
    wait = await asked(ledger)
    assert wait.due_at == datetime(2030, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "config",
    [{"for": "-1"}, {"for": "'x'"}, {"for": "1e12"}, {"until": "soon"}, {"until": "2030-01-31T09:00:00"}],
    ids=["negative", "text", "endless", "no-date", "no-zone"],
)
async def test_delays_that_are_none(config: JsonObject) -> None:
    ledger = MemoryLedger(spec_of(graph(node("delay", **config))))
    assert (await ended(ledger, Outcome.FAILED))["code"] == "delay_invalid"


# --- a workflow within --------------------------------------------------------------------------------------------


def parent(**more: Any) -> MemoryLedger:
    child: JsonObject = {
        **spec_of(graph(output("o", x="inputs.x"))),
        "workflow_id": CHILD,
        "workflow_name": "Sum",
        "version": 3,
    }
    child["graph"]["inputs"] = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    config = {"workflow_id": CHILD, "version": 3, "inputs": {"x": "1 + 1"}, **more}
    spec = spec_of(graph({**node("sub_workflow", **config), "retry": {"max": 1, "backoff_ms": 0}}))
    return MemoryLedger({**spec, "workflows": {f"{CHILD}@3": child}})


def child_ended(status: str, **more: Any) -> Answer:
    return Answer(value={"status": status, "output": None, "error": None, **more})


async def test_a_child_is_started_and_its_output_is_the_steps() -> None:
    ledger = parent()
    wait = await asked(ledger)
    assert (wait.kind, wait.title) == (WaitKind.CHILD, "Sum")
    assert wait.request == {"workflow_id": CHILD, "version": 3, "inputs": {"x": 2}}
    assert wait.child is not None
    assert (wait.child.name, wait.child.inputs, str(wait.child.workflow_id), wait.child.workflow_version) == (
        "Sum",
        {"x": 2},
        CHILD,
        3,
    )
    assert wait.child.spec["graph"]["nodes"][0]["id"] == "o"
    ledger.settle(wait, child_ended("succeeded", output={"x": 2}))
    assert await ended(ledger) == {"x": 2}


async def test_a_child_that_fails_may_be_started_once_more() -> None:
    ledger = parent()
    error = {"code": "timeout", "message": "it took too long", "retryable": True}
    first = await asked(ledger)
    ledger.settle(first, child_ended("failed", error=error))
    second = await asked(ledger)
    assert (first.key, second.key) == ("1//wait/0", "2//wait/0")
    ledger.settle(second, child_ended("cancelled"))
    failed = await ended(ledger, Outcome.FAILED)
    assert (failed["code"], failed["message"]) == ("child_failed", "Sum: it was cancelled")


async def test_a_child_that_could_do_no_better_is_not_started_again() -> None:
    ledger = parent()
    error = {"code": "config_invalid", "message": "it cannot run", "retryable": False}
    ledger.settle(await asked(ledger), child_ended("failed", error=error))
    assert (await ended(ledger, Outcome.FAILED))["code"] == "child_failed"


@pytest.mark.parametrize(
    ("config", "code"),
    [({"version": 4}, "workflow_missing"), ({"inputs": {"x": "'a'"}}, "child_inputs_invalid")],
)
async def test_children_that_cannot_be_started(config: JsonObject, code: str) -> None:
    assert (await ended(parent(**config), Outcome.FAILED))["code"] == code
