"""Triggers as they are kept: made, changed, switched on and off. What firing one does is in `shared/triggers`."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.workflows.repository import get_version, get_workflow
from services.workflows.triggers import repository
from services.workflows.triggers.errors import KindFixed, NotAWebhook
from services.workflows.triggers.schemas import (
    FireTime,
    Preview,
    PreviewRequest,
    Rotated,
    ScheduleOut,
    TriggerCreated,
    TriggerKind,
    TriggerOut,
    TriggerSave,
    TriggerSummary,
    WebhookOut,
)
from services.workflows.triggers.secrets import NewHook, new_hook, rotate
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.triggers import Trigger
from shared.executions.snapshot import InputsInvalid
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.triggers.schedule import Schedule
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page
from shared.web.resources import Resources
from shared.workflow.graph import Graph
from shared.workflow.inputs import check_schema, with_defaults
from shared.workflow.validate import validate_inputs

_NEXT_TIMES = 5


async def list_triggers(
    session: ReadSession, workflow_id: UUID, limit: int, cursor: str | None
) -> Page[TriggerSummary]:
    await get_workflow(session, workflow_id)
    (before,) = decode_cursor(cursor, UUID) if cursor else (None,)
    rows = await repository.list_triggers(session, workflow_id, limit=limit + 1, before=before)
    return page(rows, limit, _summary, lambda row: (row.id,))


async def create(
    session: WriteSession, app: Resources, caller: Principal, workflow_id: UUID, request: TriggerSave
) -> TriggerCreated:
    await _refuse_unfit(session, workflow_id, request)
    trigger = Trigger(
        id=new_id(),
        tenant_id=caller.tenant_id,
        workflow_id=workflow_id,
        kind=request.kind.value,
        failures=0,
        created_by=caller.user_id,
    )
    hook = NewHook(None, None)
    if request.kind is TriggerKind.WEBHOOK:
        hook = new_hook(app, trigger)
    _take_over(trigger, caller, request)
    trigger.next_fire_at = _first_time(trigger)
    session.add(trigger)
    await session.flush()
    await session.refresh(trigger)
    return TriggerCreated(**_out(trigger).model_dump(), url=hook.url, secret=hook.secret)


async def read(session: ReadSession, trigger_id: UUID) -> TriggerOut:
    return _out(await repository.get_trigger(session, trigger_id))


async def update(session: WriteSession, caller: Principal, trigger_id: UUID, request: TriggerSave) -> TriggerOut:
    """A schedule that goes on as it was keeps what it has still to do."""
    trigger = await repository.lock_trigger(session, trigger_id)
    if trigger.kind != request.kind:
        raise KindFixed
    await _refuse_unfit(session, trigger.workflow_id, request)
    before = _rhythm(trigger)
    _take_over(trigger, caller, request)
    if _rhythm(trigger) != before:
        trigger.next_fire_at = _first_time(trigger)
    return await _saved(session, trigger)


async def switch(session: WriteSession, caller: Principal, trigger_id: UUID, *, on: bool) -> TriggerOut:
    trigger = await repository.lock_trigger(session, trigger_id)
    if on:
        trigger.acts_for = caller.user_id
    if trigger.enabled != on:
        trigger.enabled = on
        trigger.next_fire_at = _first_time(trigger)
    return await _saved(session, trigger)


async def delete(session: WriteSession, trigger_id: UUID) -> None:
    await repository.delete_trigger(session, trigger_id)


async def rotate_secret(session: WriteSession, app: Resources, trigger_id: UUID, grace_seconds: int) -> Rotated:
    trigger = await repository.lock_trigger(session, trigger_id)
    if trigger.kind != TriggerKind.WEBHOOK:
        raise NotAWebhook
    until = utcnow() + timedelta(seconds=grace_seconds)
    secret = rotate(app.cipher, trigger, until)
    await session.flush()
    return Rotated(secret=secret, old_secret_until=until)


def preview(request: PreviewRequest) -> Preview:
    return Preview(times=_fire_times(Schedule(request.cron, request.time_zone), utcnow(), request.count))


def _take_over(trigger: Trigger, caller: Principal, request: TriggerSave) -> None:
    trigger.name = request.name
    trigger.enabled = request.enabled
    trigger.workflow_version = request.version
    trigger.priority = request.priority
    trigger.config = request.config
    trigger.acts_for = caller.user_id


async def _refuse_unfit(session: ReadSession, workflow_id: UUID, request: TriggerSave) -> None:
    """Raises when there is no such version, or when a schedule's inputs do not fit it as it is now."""
    version = await get_version(session, await get_workflow(session, workflow_id), request.version)
    if request.schedule is None:
        return
    graph = Graph.model_validate(version.graph)
    if check_schema(graph.inputs):
        return  # the workflow cannot run yet; that is said where it is edited
    problems = validate_inputs(graph, with_defaults(graph.inputs, request.schedule.inputs))
    if problems:
        details = [
            ErrorDetail(field=f"schedule.{each.field}", message=each.message, code=each.code) for each in problems
        ]
        raise InputsInvalid(details=details)


def _schedule(trigger: Trigger) -> Schedule | None:
    if trigger.kind != TriggerKind.SCHEDULE:
        return None
    return Schedule(trigger.config["cron"], trigger.config["time_zone"])


def _rhythm(trigger: Trigger) -> tuple[bool, Schedule | None]:
    return trigger.enabled, _schedule(trigger)


def _first_time(trigger: Trigger) -> datetime | None:
    schedule = _schedule(trigger)
    return schedule.after(utcnow()) if schedule and trigger.enabled else None


async def _saved(session: WriteSession, trigger: Trigger) -> TriggerOut:
    await session.flush()
    await session.refresh(trigger)
    return _out(trigger)


def _out(trigger: Trigger) -> TriggerOut:
    """Of a schedule that is disabled, the times it would fire at."""
    schedule = _schedule(trigger)
    times = _fire_times(schedule, utcnow(), _NEXT_TIMES) if schedule else []
    return TriggerOut(**_summary(trigger).model_dump(), next_fire_times=times)


def _summary(trigger: Trigger) -> TriggerSummary:
    config = trigger.config
    is_schedule = trigger.kind == TriggerKind.SCHEDULE
    hook = None if is_schedule else WebhookOut(**config, old_secret_until=_still(trigger.old_secret_until))
    shown = {
        **{field: getattr(trigger, field, None) for field in TriggerSummary.model_fields},
        "version": trigger.workflow_version,
        "schedule": ScheduleOut(**config) if is_schedule else None,
        "webhook": hook,
    }
    return TriggerSummary.model_validate(shown)


def _still(until: datetime | None) -> datetime | None:
    return until if until is not None and until > utcnow() else None


def _fire_times(schedule: Schedule, after: datetime, count: int) -> list[FireTime]:
    zone = ZoneInfo(schedule.time_zone)
    return [
        FireTime(at=moment.astimezone(UTC), local=moment.astimezone(zone).isoformat())
        for moment in schedule.upcoming(after, count)
    ]
