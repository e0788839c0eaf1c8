"""Firing a trigger: its workflow is started for the person it acts for, or it is written down why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, text, update

from shared.auth.authenticator import acting_for
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.database.away import is_away
from shared.database.session import Database, ReadSession, Scope, WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.database.tables.triggers import Trigger
from shared.executions.start import WorkflowStart, start_workflow
from shared.executions.submit import Ring
from shared.kit.clock import utcnow
from shared.kit.json import JsonObject
from shared.kit.logging import get_logger
from shared.triggers.schedule import Missed, Schedule, to_fire
from shared.web.errors import AppError, Conflict, ErrorDetail

log = get_logger(__name__)

_TAKE_DUE = text("SELECT * FROM trigger_take_due()")
_MOST_DETAILS = 5


class ActsForNobody(Conflict):
    code = "trigger_acts_for_nobody"
    message = (
        "The person this trigger acts for has left, or may no longer start workflows. "
        "Whoever saves the trigger next is the one it acts for."
    )


async def fire(
    session: WriteSession, trigger: Trigger, ring: Ring, make_inputs: Callable[[], JsonObject], key: str | None
) -> ExecutionRow | AppError:
    """The execution, or why there is none; the trigger shows either. `session` is one of the trigger's tenant.

    Of two firings with one `key` only the first starts something. `make_inputs` may raise an `AppError`.
    """
    trigger_id = trigger.id
    try:
        async with session.begin_nested():
            caller = await _actor(session, trigger)
            start = WorkflowStart(
                trigger.workflow_id,
                make_inputs(),
                version=trigger.workflow_version,
                priority=trigger.priority,
                idempotency_key=key,
                trigger_id=trigger_id,
            )
            row = await start_workflow(session, caller, start, ring)
    except AppError as refusal:
        await _note_failure(session, trigger_id, refusal.code, refusal.text, refusal.details)
        return refusal
    await _note(session, trigger_id, last_fired_at=func.now(), last_execution_id=row.id, last_error=None, failures=0)
    return row


async def fire_next_due(database: Database, ring: Ring) -> bool:
    """Deals with one fire time of the schedule that has been due the longest; False when there is none.

    The execution and the move to the next time commit together, so each time fires once however many ask at once
    and whenever one of them dies.
    """
    async with database.write(Scope()) as session:
        taken = (await session.execute(_TAKE_DUE)).one_or_none()
        if taken is None:
            return False
        await session.set_scope(Scope(taken.tenant_id, taken.acts_for))
        trigger = await session.get_one(Trigger, taken.id)
        try:
            plan = _plan(trigger, taken.taken_at)
        except Exception:
            # For ever due and never done, it would keep all others from firing.
            log.exception("a schedule cannot be followed", trigger_id=str(taken.id))
            await _note_failure(session, taken.id, "schedule_broken", "The next time cannot be told. Save it anew.")
            plan = _Plan(None, None, {})
        if plan.moment is not None:
            await _fire_schedule(session, trigger, ring, plan.moment, plan.inputs)
        await _note(session, taken.id, next_fire_at=plan.next_fire_at)
    return True


@dataclass(frozen=True, slots=True)
class _Plan:
    moment: datetime | None
    next_fire_at: datetime | None
    inputs: JsonObject


def _plan(trigger: Trigger, now: datetime) -> _Plan:
    """One time is dealt with in a transaction: where several are due, the next is due at once."""
    assert trigger.next_fire_at is not None
    config = trigger.config
    schedule = Schedule(config["cron"], config["time_zone"])
    moment, following, *_ = (
        *to_fire(schedule.due(trigger.next_fire_at, now), now, Missed(config["missed"])),
        None,
        None,
    )
    return _Plan(moment, following or schedule.after(now), config["inputs"])


async def _fire_schedule(
    session: WriteSession, trigger: Trigger, ring: Ring, moment: datetime, inputs: JsonObject
) -> None:
    trigger_id = trigger.id
    try:
        outcome = await fire(session, trigger, ring, lambda: inputs, f"schedule:{trigger_id}:{moment.isoformat()}")
    except Exception as error:
        if is_away(error):
            raise  # the database's trouble, not this schedule's: it stays due
        log.exception("a schedule could not fire", trigger_id=str(trigger_id))
        await _note_failure(session, trigger_id, AppError.code, AppError.message)
        return
    if isinstance(outcome, AppError):
        log.info("a schedule fired in vain", trigger_id=str(trigger_id), code=outcome.code)


async def _actor(session: ReadSession, trigger: Trigger) -> Principal:
    caller = await acting_for(session, trigger.tenant_id, trigger.acts_for, Permission.EXECUTIONS_RUN)
    if caller is None:
        raise ActsForNobody
    return caller


async def _note_failure(
    session: WriteSession, trigger_id: UUID, code: str, message: str, details: Sequence[ErrorDetail] = ()
) -> None:
    shown = [detail.model_dump() for detail in details[:_MOST_DETAILS]]
    error = {"code": code, "message": message, "details": shown, "at": utcnow().isoformat()}
    await _note(session, trigger_id, last_error=error, failures=Trigger.failures + 1)


async def _note(session: WriteSession, trigger_id: UUID, **values: Any) -> None:
    # It was not changed by anybody, so the time of its last change stays.
    kept = {"updated_at": Trigger.updated_at}
    await session.execute(
        update(Trigger).where(Trigger.id == trigger_id).values(**values, **kept),
        execution_options={"synchronize_session": False},
    )
