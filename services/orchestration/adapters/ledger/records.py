"""The engine's records, as they are made of rows: of which columns, and how."""

from typing import Any, Final

from services.orchestration.adapters.ledger.connections import Row
from services.orchestration.engine.ports import (
    Action,
    Answer,
    Audience,
    CallKind,
    CallRecord,
    CallStatus,
    Effect,
    StepRecord,
    StepStatus,
    WaitKind,
    WaitRecord,
    WaitStatus,
)

STEP_COLUMNS: Final = (
    "id", "node", "type", "path", "attempt", "generation", "status", "input", "output", "error", "started_at",
    "finished_at", "keyed_by",
)  # fmt: skip
CALL_COLUMNS: Final = (
    "id", "step_id", "key", "kind", "effect", "name", "request_hash", "request", "status", "response", "error",
    "model_id", "agent_id", "input_tokens", "output_tokens", "cost", "tries", "started_at", "finished_at",
)  # fmt: skip
WAIT_COLUMNS: Final = (
    "id", "step_id", "key", "kind", "title", "request", "request_hash", "status", "created_at", "due_at",
    "assignee_user_id", "assignee_role", "escalate_at", "escalate_user_id", "escalate_role", "answer", "answered_by",
    "settled_at",
)  # fmt: skip


def step_record(row: Row) -> StepRecord:
    fields: dict[str, Any] = {**row, "status": StepStatus(row["status"])}
    return StepRecord(**fields)


def call_record(row: Row) -> CallRecord:
    fields: dict[str, Any] = {
        **row,
        "kind": CallKind(row["kind"]),
        "effect": Effect(row["effect"]),
        "status": CallStatus(row["status"]),
    }
    return CallRecord(**fields)


def wait_record(row: Row) -> WaitRecord:
    escalate_at = row["escalate_at"]
    return WaitRecord(
        id=row["id"],
        step_id=row["step_id"],
        key=row["key"],
        kind=WaitKind(row["kind"]),
        title=row["title"],
        request=row["request"],
        request_hash=row["request_hash"],
        status=WaitStatus(row["status"]),
        created_at=row["created_at"],
        due_at=row["due_at"],
        audience=Audience(
            user_id=row["assignee_user_id"],
            role=row["assignee_role"],
            escalate_after=None if escalate_at is None else (escalate_at - row["created_at"]).total_seconds(),
            escalate_user_id=row["escalate_user_id"],
            escalate_role=row["escalate_role"],
        ),
        answer=_answer(row),
    )


def _answer(row: Row) -> Answer | None:
    if row["settled_at"] is None:
        return None
    given: dict[str, Any] = row["answer"] or {}
    action = given.get("action")
    return Answer(
        action=None if action is None else Action(action),
        value=given.get("value"),
        by=row["answered_by"],
        at=row["settled_at"],
    )
