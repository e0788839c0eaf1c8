"""The lines of an execution's stream. Their types and fields are part of the public API."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from services.orchestration.engine.ports import (
    EventRecord,
    ExecutionStatus,
    StepRecord,
    StepRef,
    Usage,
    WaitRecord,
)
from shared.kit.clock import utcnow
from shared.kit.json import Json, JsonObject


def reference(step: StepRecord) -> StepRef:
    return StepRef(step.node, step.path, step.attempt)


def execution_status(status: ExecutionStatus, at: datetime) -> EventRecord:
    return EventRecord("execution.status", at, {"status": status.value})


def done(status: ExecutionStatus, output: Json, error: JsonObject | None, at: datetime) -> EventRecord:
    return EventRecord("done", at, {"status": status.value, "output": output, "error": error})


def step_started(step: StepRecord, name: str, at: datetime) -> EventRecord:
    return EventRecord("step.started", at, {"type": step.type, "name": name or step.node}, reference(step))


def step_finished(step: StepRecord) -> EventRecord:
    at = step.finished_at or utcnow()
    began = step.started_at or at
    data: JsonObject = {
        "status": step.status.value,
        "output": step.output,
        "error": step.error,
        "duration_ms": round((at - began).total_seconds() * 1000),
    }
    return EventRecord("step.finished", at, data, reference(step))


def step_skipped(step: StepRecord, at: datetime) -> EventRecord:
    return EventRecord("step.skipped", at, {}, reference(step))


def step_waiting(wait: WaitRecord, step: StepRef) -> EventRecord:
    data: JsonObject = {
        "wait": str(wait.id),
        "kind": wait.kind.value,
        "title": wait.title,
        "due_at": None if wait.due_at is None else wait.due_at.isoformat(),
        "request": wait.request,
    }
    return EventRecord("step.waiting", wait.created_at, data, step)


def delta(kind: str, text: str, call: str, agent: str | None, step: StepRef) -> EventRecord:
    data: JsonObject = {"text": text, "call": call}
    if agent is not None:
        data["agent"] = agent
    return EventRecord(f"{kind}.delta", utcnow(), data, step)


def tool_call(call: str, name: str, arguments: JsonObject, step: StepRef) -> EventRecord:
    return EventRecord("tool.call", utcnow(), {"call": call, "name": name, "arguments": arguments}, step)


def tool_result(call: str, name: str, outcome: JsonObject, step: StepRef) -> EventRecord:
    """`outcome` is `{"result": text}` or `{"error": {...}}`."""
    return EventRecord("tool.result", utcnow(), {"call": call, "name": name, **outcome}, step)


def usage(model: str, used: Usage, step: StepRef) -> EventRecord:
    data: JsonObject = {
        "model": model,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cost": _money(used.cost),
    }
    return EventRecord("usage", utcnow(), data, step)


def log(level: str, message: str, data: dict[str, Any], step: StepRef | None) -> EventRecord:
    return EventRecord("log", utcnow(), {**data, "level": level, "message": message}, step)


def _money(amount: Decimal) -> str:
    return format(amount, "f")
