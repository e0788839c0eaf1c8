"""An execution that has ended, read from the ledger as the engine knows executions."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from services.orchestration.engine.ports import (
    Action,
    Answer,
    CallKind,
    CallRecord,
    CallStatus,
    Effect,
    ExecutionState,
    ExecutionStatus,
    StepRecord,
    StepStatus,
    WaitKind,
    WaitRecord,
    WaitStatus,
)
from services.orchestration.engine.replay.past import Past
from shared.database.session import ReadSession
from shared.database.tables.ledger import CallRow, StepRow, WaitRow
from shared.executions.reading import find_execution
from shared.workflow.states import Origin


async def read_past(session: ReadSession, execution_id: UUID) -> Past:
    """Raises `ExecutionNotFound`."""
    row = await find_execution(session, execution_id)
    steps = await session.scalars(select(StepRow).where(StepRow.execution_id == row.id).order_by(StepRow.id))
    calls = await session.scalars(select(CallRow).where(CallRow.execution_id == row.id).order_by(CallRow.id))
    waits = await session.scalars(select(WaitRow).where(WaitRow.execution_id == row.id).order_by(WaitRow.id))
    state = ExecutionState(
        id=row.id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        spec=row.spec,
        inputs=row.inputs,
        attempts=0,
        created_at=row.created_at,
        steps=[_step(step) for step in steps],
        calls=[_call(call) for call in calls],
        waits=[_wait(wait) for wait in waits],
        wakes=row.wakes,
        forked=row.origin in (Origin.RETRY, Origin.FORK),
        depth=row.depth,
        root_id=row.root_id,
    )
    return Past(state, ExecutionStatus(row.status), row.output, row.error)


def _step(row: StepRow) -> StepRecord:
    return StepRecord(
        id=row.id,
        node=row.node,
        type=row.type,
        path=row.path,
        attempt=row.attempt,
        generation=row.generation,
        status=StepStatus(row.status),
        input=row.input,
        output=row.output,
        error=row.error,
        started_at=row.started_at,
        finished_at=row.finished_at,
        keyed_by=row.keyed_by,
    )


def _call(row: CallRow) -> CallRecord:
    return CallRecord(
        id=row.id,
        step_id=row.step_id,
        key=row.key,
        kind=CallKind(row.kind),
        effect=Effect(row.effect),
        name=row.name,
        request_hash=row.request_hash,
        request=row.request,
        status=CallStatus(row.status),
        response=row.response,
        error=row.error,
        model_id=row.model_id,
        agent_id=row.agent_id,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost=row.cost,
        tries=row.tries,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _wait(row: WaitRow) -> WaitRecord:
    return WaitRecord(
        id=row.id,
        step_id=row.step_id,
        key=row.key,
        kind=WaitKind(row.kind),
        title=row.title,
        request=row.request,
        request_hash=row.request_hash,
        status=WaitStatus(row.status),
        created_at=row.created_at,
        due_at=row.due_at,
        answer=_answer(row),
    )


def _answer(row: WaitRow) -> Answer | None:
    if row.settled_at is None:
        return None
    given: dict[str, Any] = row.answer or {}
    action = given.get("action")
    return Answer(None if action is None else Action(action), given.get("value"), row.answered_by, row.settled_at)
