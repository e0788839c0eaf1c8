"""Batches as `ledger_write` takes them and as the stream shows them: JSON text, made once and cut to measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import CallRecord, EventRecord, LedgerBatch, StepRecord
from shared.kit.storable import dump_storable


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """`row` and `shown` both lack what is known only later, and begin after it."""

    row: bytes
    shown: bytes


@dataclass(frozen=True, slots=True)
class EncodedWrite:
    """One batch of one execution under one epoch. `number` counts that holder's writes."""

    execution_id: UUID
    head: bytes
    steps: tuple[bytes, ...]
    calls: tuple[bytes, ...]
    events: tuple[EncodedEvent, ...]
    size: int


def encode(execution_id: UUID, epoch: int, number: int, batch: LedgerBatch) -> EncodedWrite:
    head: dict[str, Any] = {"id": execution_id, "epoch": epoch, "number": number, "events": len(batch.events)}
    if batch.transition is not None:
        head["status"] = batch.transition.status
        head["output"] = batch.transition.output
        head["error"] = batch.transition.error
    encoded_head = dump_storable(head)
    steps = tuple(dump_storable(_step(execution_id, step)) for step in batch.steps)
    calls = tuple(dump_storable(_call(execution_id, call)) for call in batch.calls)
    events = tuple(_event(execution_id, event) for event in batch.events)
    size = len(encoded_head) + sum(map(len, steps)) + sum(map(len, calls)) + sum(len(event.row) for event in events)
    return EncodedWrite(execution_id, encoded_head, steps, calls, events, size)


def parameters(writes: Sequence[EncodedWrite]) -> tuple[bytes, bytes | None, bytes | None, bytes | None]:
    """The JSON parameters of `ledger_write` for these writes, of one tenant and of different executions."""
    events = [
        b'{"place":%d,' % place + event.row for write in writes for place, event in enumerate(write.events, start=1)
    ]
    return (
        _listed([write.head for write in writes]),
        _listed_or_none([step for write in writes for step in write.steps]),
        _listed_or_none([call for write in writes for call in write.calls]),
        _listed_or_none(events),
    )


def shown(write: EncodedWrite, last_seq: int) -> bytes:
    """The events of a committed write as a JSON list in the shape of the stream."""
    first = last_seq - len(write.events) + 1
    return _listed([b'{"seq":%d,' % seq + event.shown for seq, event in enumerate(write.events, start=first)])


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


def _event(execution_id: UUID, event: EventRecord) -> EncodedEvent:
    step = event.step
    where = None if step is None else {"node": step.node, "path": step.path, "attempt": step.attempt}
    line: dict[str, Any] = {"type": event.type, "at": event.at.astimezone(UTC), "step": where, "data": event.data}
    text = dump_storable(line)[1:]
    # The row is the line with its step spelled out: what ledger_write does not ask for it does not read.
    spelled = dump_storable({"execution_id": execution_id, **(where or {})})[1:-1]
    return EncodedEvent(row=spelled + b"," + text, shown=text)
