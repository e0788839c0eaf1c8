from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import RowMapping

from services.analytics import repository
from services.analytics.period import Period
from services.analytics.schemas import (
    Durations,
    ExecutionCounts,
    Grouping,
    ResourceUsage,
    Summary,
    Tokens,
    Usage,
    UsageTotals,
    WorkflowPerformance,
    WorkflowPerformanceReport,
)
from shared.database.session import ReadSession
from shared.workflow.states import ExecutionKind, ExecutionStatus


async def summary(session: ReadSession, period: Period) -> Summary:
    totals = await repository.totals(session, period)
    return Summary(
        start=period.start,
        end=period.end,
        executions=_execution_counts(await repository.counts(session, period)),
        duration_ms=Durations(p50=round(totals["p50"]), p95=round(totals["p95"]), max=round(totals["longest"])),
        calls=totals["calls"],
        tokens=Tokens(
            input=totals["input_tokens"],
            output=totals["output_tokens"],
            total=totals["input_tokens"] + totals["output_tokens"],
        ),
        cost=totals["cost"],
        workflows_used=totals["workflows"],
        agents_used=totals["agents"],
    )


def _execution_counts(rows: Sequence[RowMapping]) -> ExecutionCounts:
    by_status: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    for row in rows:
        by_status[row["status"]] += row["count"]
        by_kind[row["kind"]] += row["count"]
    return ExecutionCounts(
        total=by_status.total(),
        by_status={status: by_status[status] for status in ExecutionStatus},
        by_kind={kind: by_kind[kind] for kind in ExecutionKind},
        success_rate=_success_rate(
            by_status[ExecutionStatus.SUCCEEDED],
            by_status[ExecutionStatus.FAILED],
            by_status[ExecutionStatus.CANCELLED],
        ),
    )


async def workflow_performance(session: ReadSession, period: Period, limit: int) -> WorkflowPerformanceReport:
    rows = await repository.workflow_performance(session, period, limit)
    return WorkflowPerformanceReport(start=period.start, end=period.end, items=[_performance(row) for row in rows])


def _performance(row: RowMapping) -> WorkflowPerformance:
    return WorkflowPerformance(
        **_rounded(row),
        success_rate=_success_rate(row["succeeded"], row["failed"], row["cancelled"]),
        cost_per_execution=(row["cost"] / row["executions"]).quantize(Decimal("1e-9")),
    )


async def resource_usage(session: ReadSession, period: Period, grouping: Grouping, limit: int) -> ResourceUsage:
    rows = await repository.usage(session, period, grouping, limit)
    totals = await repository.usage_totals(session, period)
    return ResourceUsage(
        start=period.start,
        end=period.end,
        group_by=grouping,
        totals=UsageTotals(**totals),
        items=[Usage(**_rounded(row)) for row in rows],
    )


def _rounded(row: RowMapping) -> dict[str, Any]:
    return {name: round(value) if "duration_ms" in name else value for name, value in row.items()}


def _success_rate(succeeded: int, failed: int, cancelled: int) -> float:
    ended = succeeded + failed + cancelled
    return round(succeeded / ended, 4) if ended else 0.0
