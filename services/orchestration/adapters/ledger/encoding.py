"""Batches as `ledger_write` takes them and as the stream shows them: JSON text, made once and cut to measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.orchestration.adapters.ledger import cutting
from services.orchestration.engine.ports import (
    CallRecord,
    Child,
    EventRecord,
    LedgerBatch,
    StepRecord,
    WaitRecord,
)
from shared.kit.json import JsonObject, dumps
from shared.kit.storable import dump_storable


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """`row` and `shown` both lack what is known only later, and begin after it."""

    row: bytes
    shown: bytes


@dataclass(frozen=True, slots=True)
class EncodedWrite:
    """One batch of one execution under one epoch. `number` counts that holder's writes.

    `asked` are the waits in it that ask a person, `starts` whether it starts other executions.
    """

    execution_id: UUID
    head: bytes
    steps: tuple[bytes, ...]
    calls: tuple[bytes, ...]
    waits: tuple[bytes, ...]
    events: tuple[EncodedEvent, ...]
    size: int
    asked: tuple[UUID, ...] = ()
    starts: bool = False


def encode(execution_id: UUID, epoch: int, number: int, batch: LedgerBatch) -> EncodedWrite:
    head: dict[str, Any] = {"id": execution_id, "epoch": epoch, "number": number, "events": len(batch.events)}
    if batch.transition is not None:
        head["status"] = batch.transition.status
        head["output"] = batch.transition.output
        head["error"] = batch.transition.error
        head["wakes"] = batch.transition.wakes
    encoded_head = dump_storable(head)
    steps = tuple(dump_storable(_step(execution_id, step)) for step in batch.steps)
    calls = tuple(dump_storable(_call(execution_id, call)) for call in batch.calls)
    waits = tuple(dump_storable(_wait(execution_id, wait)) for wait in batch.waits)
    events = tuple(_event(execution_id, event) for event in batch.events)
    parts = (*steps, *calls, *waits, *(event.row for event in events))
    return EncodedWrite(
        execution_id,
        encoded_head,
        steps,
        calls,
        waits,
        events,
        size=len(encoded_head) + sum(map(len, parts)),
        asked=tuple(wait.id for wait in batch.waits if wait.kind.asks_a_person),
        starts=any(wait.child is not None for wait in batch.waits),
    )


def parameters(writes: Sequence[EncodedWrite]) -> tuple[bytes | None, ...]:
    """The JSON parameters of `ledger_write` for these writes, of one tenant and of different executions."""
    events = [
        b'{"place":%d,' % place + event.row for write in writes for place, event in enumerate(write.events, start=1)
    ]
    return (
        _listed([write.head for write in writes]),
        _listed_or_none([step for write in writes for step in write.steps]),
        _listed_or_none([call for write in writes for call in write.calls]),
        _listed_or_none(events),
        _listed_or_none([wait for write in writes for wait in write.waits]),
    )


def shown(write: EncodedWrite, last_seq: int, further: JsonObject | None) -> bytes:
    """The events of a committed write as a JSON list in the shape of the stream. `further` is one that the ledger
    added."""
    first = last_seq - len(write.events) + 1
    lines = [b'{"seq":%d,' % seq + event.shown for seq, event in enumerate(write.events, start=first)]
    return _listed(lines if further is None else [*lines, dumps(further).encode()])


def _listed(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _listed_or_none(items: Sequence[bytes]) -> bytes | None:
    return _listed(items) if items else None


def _step(execution_id: UUID, step: StepRecord) -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "id": step.id,
        "node": step.node,
        "type": step.type,
        "path": step.path,
        "attempt": step.attempt,
        "generation": step.generation,
        "status": step.status,
        "input": step.input,
        "output": step.output,
        "error": step.error,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
    }


def _call(execution_id: UUID, call: CallRecord) -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "id": call.id,
        "step_id": call.step_id,
        "key": call.key,
        "kind": call.kind,
        "effect": call.effect,
        "name": call.name,
        "model_id": call.model_id,
        "agent_id": call.agent_id,
        "request_hash": call.request_hash,
        "request": call.request,
        "response": call.response,
        "status": call.status,
        "error": call.error,
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "cost": call.cost,
        "tries": call.tries,
        "started_at": call.started_at,
        "finished_at": call.finished_at,
    }


def _wait(execution_id: UUID, wait: WaitRecord) -> dict[str, Any]:
    audience = wait.audience
    return {
        "execution_id": execution_id,
        "id": wait.id,
        "step_id": wait.step_id,
        "key": wait.key,
        "kind": wait.kind,
        "title": wait.title,
        "request": wait.request,
        "request_hash": wait.request_hash,
        "status": wait.status,
        "due_at": wait.due_at,
        "assignee_user_id": audience.user_id,
        "assignee_role": audience.role,
        "escalate_at": _after(wait.created_at, audience.escalate_after),
        "escalate_user_id": audience.escalate_user_id,
        "escalate_role": audience.escalate_role,
        "created_at": wait.created_at,
        "child": None if wait.child is None else _child(wait.child),
    }


def _after(start: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else start + timedelta(seconds=seconds)


def _child(child: Child) -> dict[str, Any]:
    return {
        "name": child.name,
        "spec": child.spec,
        "inputs": child.inputs,
        "workflow_id": child.workflow_id,
        "workflow_version": child.workflow_version,
    }


def _event(execution_id: UUID, event: EventRecord) -> EncodedEvent:
    step = event.step
    where = None if step is None else {"node": step.node, "path": step.path, "attempt": step.attempt}
    line: dict[str, Any] = {"type": event.type, "at": event.at.astimezone(UTC), "step": where, "data": event.data}
    text = dump_storable(line)[1:]
    if len(text) > cutting.MOST_BYTES:
        text = dump_storable({**line, "data": cutting.cut(event.data)})[1:]
    # The row is the line with its step spelled out: what ledger_write does not ask for it does not read.
    spelled = dump_storable({"execution_id": execution_id, **(where or {})})[1:-1]
    return EncodedEvent(row=spelled + b"," + text, shown=text)
