"""Everything is counted by the executions created in the period, so that the reports agree with one another.

An execution that another one started is part of that: it is not counted beside it, nor timed. What it used is its own,
so sums of tokens, cost and calls are over all executions, and nothing is in them twice: calls that an execution took
over from the one that it was made of were paid there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, case, func, select

from services.analytics.period import Period
from services.analytics.schemas import Grouping
from shared.database.session import ReadSession
from shared.database.tables.agents import Agent
from shared.database.tables.ledger import CallRow, ExecutionRow
from shared.database.tables.models import Model
from shared.database.tables.workflows import Workflow
from shared.workflow.states import CallStatus, ExecutionStatus

_ENDED = [status.value for status in ExecutionStatus if status.ended]
_TOP_LEVEL = ExecutionRow.parent_id.is_(None)
_RAN = ExecutionRow.status.in_(_ENDED) & ExecutionRow.started_at.is_not(None) & ExecutionRow.finished_at.is_not(None)


async def counts(session: ReadSession, period: Period) -> Sequence[RowMapping]:
    """How many executions there are of each status and kind: `status`, `kind`, `count`."""
    statement = (
        select(ExecutionRow.status, ExecutionRow.kind, func.count().label("count"))
        .where(*_created_in(period), _TOP_LEVEL)
        .group_by(ExecutionRow.status, ExecutionRow.kind)
    )
    return (await session.execute(statement)).mappings().all()


async def totals(session: ReadSession, period: Period) -> RowMapping:
    duration = _milliseconds(ExecutionRow.started_at, ExecutionRow.finished_at)
    statement = select(
        _sum(ExecutionRow.input_tokens).label("input_tokens"),
        _sum(ExecutionRow.output_tokens).label("output_tokens"),
        _sum(ExecutionRow.cost).label("cost"),
        _sum(ExecutionRow.call_count).label("calls"),
        func.count(ExecutionRow.workflow_id.distinct()).label("workflows"),
        func.count(ExecutionRow.agent_id.distinct()).label("agents"),
        _percentile(0.5, duration, _RAN & _TOP_LEVEL).label("p50"),
        _percentile(0.95, duration, _RAN & _TOP_LEVEL).label("p95"),
        func.coalesce(func.max(duration).filter(_RAN & _TOP_LEVEL), 0).label("longest"),
    ).where(*_created_in(period))
    return (await session.execute(statement)).mappings().one()


async def workflow_performance(session: ReadSession, period: Period, limit: int) -> Sequence[RowMapping]:
    duration = _milliseconds(ExecutionRow.started_at, ExecutionRow.finished_at)
    executions = func.count()
    statement = (
        select(
            ExecutionRow.workflow_id.label("workflow_id"),
            func.coalesce(func.max(Workflow.name), func.max(ExecutionRow.name)).label("workflow_name"),
            executions.label("executions"),
            *(_count_status(status).label(status.value) for status in ExecutionStatus if status.ended),
            executions.filter(ExecutionRow.status.not_in(_ENDED)).label("open"),
            _percentile(0.5, duration, _RAN).label("duration_ms_p50"),
            _percentile(0.95, duration, _RAN).label("duration_ms_p95"),
            _sum(ExecutionRow.call_count).label("calls"),
            _sum(ExecutionRow.input_tokens).label("input_tokens"),
            _sum(ExecutionRow.output_tokens).label("output_tokens"),
            _sum(ExecutionRow.cost).label("cost"),
            func.max(ExecutionRow.created_at).label("last_execution_at"),
        )
        .join(Workflow, Workflow.id == ExecutionRow.workflow_id, isouter=True)
        .where(*_created_in(period), ExecutionRow.workflow_id.is_not(None))
        .group_by(ExecutionRow.workflow_id)
        .order_by(executions.desc(), ExecutionRow.workflow_id)
        .limit(limit)
    )
    return (await session.execute(statement)).mappings().all()


async def usage(session: ReadSession, period: Period, grouping: Grouping, limit: int) -> Sequence[RowMapping]:
    group = _GROUPS[grouping]
    duration = _milliseconds(CallRow.started_at, CallRow.finished_at)
    timed = CallRow.started_at.is_not(None) & CallRow.finished_at.is_not(None)
    statement = (
        select(
            group.key.label("id"),
            case((group.key.is_(None), None), else_=group.name).label("name"),
            *_usage_columns(),
            _percentile(0.5, duration, timed).label("duration_ms_p50"),
            _percentile(0.95, duration, timed).label("duration_ms_p95"),
        )
        .join_from(CallRow, ExecutionRow, ExecutionRow.id == CallRow.execution_id)
        .join(group.table, group.table.id == group.key, isouter=True)
        .where(*_created_in(period), CallRow.copied.is_(False))
        .group_by(group.key)
        .order_by(func.sum(CallRow.cost).desc(), func.count().desc(), group.key.nulls_last())
        .limit(limit)
    )
    return (await session.execute(statement)).mappings().all()


async def usage_totals(session: ReadSession, period: Period) -> RowMapping:
    statement = (
        select(*_usage_columns())
        .join_from(CallRow, ExecutionRow, ExecutionRow.id == CallRow.execution_id)
        .where(*_created_in(period), CallRow.copied.is_(False))
    )
    return (await session.execute(statement)).mappings().one()


@dataclass(frozen=True, slots=True)
class _Group:
    """What calls are grouped by, and its name: that of today, or, when it is gone, one that was recorded."""

    key: Any
    table: Any
    name: ColumnElement[Any]


_GROUPS = {
    Grouping.MODEL: _Group(CallRow.model_id, Model, func.coalesce(func.max(Model.name), func.max(CallRow.name))),
    Grouping.AGENT: _Group(CallRow.agent_id, Agent, func.max(Agent.name)),
    Grouping.WORKFLOW: _Group(
        ExecutionRow.workflow_id, Workflow, func.coalesce(func.max(Workflow.name), func.max(ExecutionRow.name))
    ),
}


def _usage_columns() -> tuple[ColumnElement[Any], ...]:
    return (
        func.count(CallRow.execution_id.distinct()).label("executions"),
        func.count().label("calls"),
        func.count().filter(CallRow.status == CallStatus.FAILED.value).label("failed_calls"),
        _sum(CallRow.input_tokens).label("input_tokens"),
        _sum(CallRow.output_tokens).label("output_tokens"),
        _sum(CallRow.cost).label("cost"),
    )


def _created_in(period: Period) -> tuple[ColumnElement[bool], ...]:
    return ExecutionRow.created_at >= period.start, ExecutionRow.created_at < period.end


def _count_status(status: ExecutionStatus) -> ColumnElement[int]:
    return func.count().filter(ExecutionRow.status == status.value)


def _sum(column: Any) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column), 0)


def _milliseconds(start: Any, end: Any) -> ColumnElement[Any]:
    return func.extract("epoch", end - start) * 1000


def _percentile(fraction: float, value: ColumnElement[Any], counted: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.percentile_cont(fraction).within_group(value).filter(counted), 0)
