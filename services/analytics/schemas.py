from enum import StrEnum
from uuid import UUID

from pydantic import Field

from shared.web.schemas import Money, ResponseModel, Timestamp
from shared.workflow.states import ExecutionKind, ExecutionStatus


class Grouping(StrEnum):
    MODEL = "model"
    AGENT = "agent"
    WORKFLOW = "workflow"


class Durations(ResponseModel):
    """Of what has run to an end, from its first start; 0 where nothing has."""

    p50: int
    p95: int
    max: int


class ExecutionCounts(ResponseModel):
    """`success_rate` is succeeded / (succeeded + failed + cancelled), from 0 to 1; 0 where nothing has ended."""

    total: int
    by_status: dict[ExecutionStatus, int]
    by_kind: dict[ExecutionKind, int]
    success_rate: float


class Tokens(ResponseModel):
    input: int
    output: int
    total: int


class Report(ResponseModel):
    """The period asked for: `from` is included, `to` is not."""

    start: Timestamp = Field(serialization_alias="from")
    end: Timestamp = Field(serialization_alias="to")


class Summary(Report):
    """Of the executions created in the period."""

    executions: ExecutionCounts
    duration_ms: Durations
    calls: int
    tokens: Tokens
    cost: Money
    workflows_used: int
    agents_used: int


class WorkflowPerformance(ResponseModel):
    """`workflow_name` is that of today, or, when the workflow is gone, that of its latest execution."""

    workflow_id: UUID
    workflow_name: str
    executions: int
    succeeded: int
    failed: int
    cancelled: int
    open: int
    success_rate: float
    duration_ms_p50: int
    duration_ms_p95: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost: Money
    cost_per_execution: Money
    last_execution_at: Timestamp


class WorkflowPerformanceReport(Report):
    """The busiest workflows first."""

    items: list[WorkflowPerformance]


class Usage(ResponseModel):
    """`id` is null for calls that belong to none, such as a tool's calls when grouped by model."""

    id: UUID | None
    name: str | None
    executions: int
    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    cost: Money
    duration_ms_p50: int
    duration_ms_p95: int


class UsageTotals(ResponseModel):
    executions: int
    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    cost: Money


class ResourceUsage(Report):
    """What the calls of the executions created in the period used; the dearest first. `totals` covers all of them,
    also those that `limit` leaves out of `items`.
    """

    group_by: Grouping
    totals: UsageTotals
    items: list[Usage]
