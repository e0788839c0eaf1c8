"""What each kind of item takes for an answer."""

from typing import Any

import pytest

from shared.executions.errors import ActionNotOffered, PayloadInvalid
from shared.executions.wait_kinds import ITEM_KINDS, actions_of, check_answer
from shared.workflow.states import Action, WaitKind

EDITABLE = {"message": "Send it?", "payload": {"to": "ann"}, "editable": True}
FIXED = {**EDITABLE, "editable": False}
CALL = {
    "tool": "mail",
    "arguments": {"to": "ann"},
    "parameters": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
}
NUMBER = {"question": "How many?", "answer_schema": {"type": "integer", "minimum": 1}, "choices": None}
CHOICE = {"question": "Which?", "answer_schema": None, "choices": ["red", "1"]}
OPEN = {"question": "Why?", "answer_schema": None, "choices": None}
ELSEWHERE = {"tool": "t", "parameters": {"$ref": "http://127.0.0.1:9/schema.json"}}
NOWHERE = {"tool": "t", "parameters": {"$ref": "#/$defs/gone"}}


def test_every_kind_that_asks_a_person_is_known() -> None:
    assert set(ITEM_KINDS) == {kind for kind in WaitKind if kind.asks_a_person}


TAKEN: list[tuple[str, dict[str, Any], str, Any]] = [
    ("approval", EDITABLE, "accept", None),
    ("approval", EDITABLE, "edit", {"to": "bob"}),
    ("approval", EDITABLE, "accept", "Well done."),
    ("approval", FIXED, "ignore", None),
    ("approval", FIXED, "respond", "not today"),
    ("question", NUMBER, "respond", 3),
    ("question", CHOICE, "respond", "red"),
    ("question", OPEN, "respond", {"because": ["of", "this"]}),
    ("question", OPEN, "respond", False),
    ("question", NUMBER, "ignore", None),
    ("tool_approval", CALL, "accept", None),
    ("tool_approval", CALL, "edit", {"to": "bob"}),
    ("tool_approval", CALL, "ignore", None),
    ("tool_approval", CALL, "respond", "It was sent by hand."),
    ("call_in_doubt", {"name": "pay"}, "respond", {"receipt": 7}),
    ("call_in_doubt", {"name": "pay"}, "accept", None),
    ("call_in_doubt", {"name": "pay"}, "ignore", None),
    ("budget", {"limit": {}}, "accept", None),
    ("budget", {"limit": {}}, "accept", {"raise": {"tokens": 500, "cost": "1.50"}}),
    ("budget", {"limit": {}}, "ignore", None),
]


@pytest.mark.parametrize(("kind", "request_", "action", "value"), TAKEN)
def test_what_fits(kind: str, request_: dict[str, Any], action: str, value: Any) -> None:
    check_answer(WaitKind(kind), request_, Action(action), value)


REFUSED: list[tuple[str, dict[str, Any], str, Any, str]] = [
    ("approval", EDITABLE, "accept", {"to": "bob"}, "payload"),
    ("approval", EDITABLE, "edit", None, "payload"),
    ("approval", FIXED, "respond", None, "payload"),
    ("approval", FIXED, "respond", {"words": "no"}, "payload"),
    ("approval", FIXED, "respond", " ", "payload"),
    ("approval", FIXED, "respond", "x" * 20_001, "payload"),
    ("question", NUMBER, "respond", 0, "payload"),
    ("question", NUMBER, "respond", None, "payload"),
    ("question", NUMBER, "ignore", 3, "payload"),
    ("question", CHOICE, "respond", "blue", "payload"),
    ("question", CHOICE, "respond", 1, "payload"),
    ("tool_approval", CALL, "edit", {"to": 7}, "payload.to"),
    ("tool_approval", CALL, "edit", {}, "payload"),
    ("tool_approval", CALL, "edit", ["to"], "payload"),
    ("tool_approval", ELSEWHERE, "edit", {}, "payload"),
    ("tool_approval", NOWHERE, "edit", {}, "payload"),
    ("tool_approval", CALL, "respond", {"sent": True}, "payload"),
    ("call_in_doubt", {}, "respond", None, "payload"),
    ("budget", {}, "accept", {"tokens": 5}, "payload.raise"),
    ("budget", {}, "accept", {"raise": {"tokens": -1}}, "payload.raise.tokens"),
    ("budget", {}, "accept", {"raise": {"cost": "NaN"}}, "payload.raise.cost"),
    ("budget", {}, "accept", {"raise": {"words": 1}}, "payload.raise.words"),
]


@pytest.mark.parametrize(("kind", "request_", "action", "value", "field"), REFUSED)
def test_what_does_not_fit(kind: str, request_: dict[str, Any], action: str, value: Any, field: str) -> None:
    with pytest.raises(PayloadInvalid) as refused:
        check_answer(WaitKind(kind), request_, Action(action), value)
    assert field in {detail.field for detail in refused.value.details}


def test_only_what_may_be_edited_offers_to_be() -> None:
    assert Action.EDIT in actions_of(WaitKind.APPROVAL, EDITABLE)
    assert Action.EDIT not in actions_of(WaitKind.APPROVAL, FIXED)
    for kind, request, action in (
        (WaitKind.APPROVAL, FIXED, Action.EDIT),
        (WaitKind.QUESTION, OPEN, Action.ACCEPT),
        (WaitKind.BUDGET, {}, Action.RESPOND),
    ):
        with pytest.raises(ActionNotOffered):
            check_answer(kind, request, action, {"to": "bob"})
