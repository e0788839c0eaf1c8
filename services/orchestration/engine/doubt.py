"""A call that must not be made twice was begun, and its worker stopped before it knew: a person decides."""

from dataclasses import replace
from typing import Any

from services.orchestration.engine import codec
from services.orchestration.engine.aborts import CallInDoubt
from services.orchestration.engine.ports import (
    Action,
    Answer,
    CallKind,
    CallRecord,
    CallStatus,
    WaitKind,
    WaitRecord,
    WaitRequest,
)
from shared.kit.clock import utcnow
from shared.kit.json import JsonObject


def key(record: CallRecord) -> str:
    """Where its wait is on record. Begun once more, it may be in doubt once more, and that is another question."""
    return f"{record.key}/doubt/{record.tries}"


def question(record: CallRecord, idempotency_key: str) -> WaitRequest:
    asked: Any = record.request
    what: JsonObject = {"arguments": asked["arguments"]} if record.kind is CallKind.TOOL else {"request": asked}
    return WaitRequest(
        WaitKind.CALL_IN_DOUBT,
        title=f"Did {record.name} take effect?",
        request={
            "call": record.key,
            "name": record.name,
            **what,
            "started_at": None if record.started_at is None else record.started_at.isoformat(),
            "idempotency_key": idempotency_key,
        },
    )


def verdict(record: CallRecord, wait: WaitRecord) -> CallRecord | CallInDoubt | None:
    """The call with the answer it was given; None: make it again; else why the step cannot go on."""
    answer = wait.answer or Answer()
    match answer.action:
        case Action.RESPOND:
            response = codec.given_response(record.kind, answer.value)
            return replace(record, status=CallStatus.SUCCEEDED, response=response, finished_at=utcnow())
        case Action.ACCEPT:
            return None
        case _:
            return CallInDoubt(
                f"{record.name} was called when the worker stopped, and whether it took effect is not known; "
                "it must not be called twice, so look there before you start this again"
            )
