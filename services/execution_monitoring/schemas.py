from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query

from shared.executions.schemas import EventStep, ExecutionOut, StepOut
from shared.web.errors import ErrorDetail, Invalid
from shared.web.schemas import Moment, ResponseModel, Text, Timestamp
from shared.workflow.states import ExecutionKind, ExecutionStatus, WaitKind


class ExecutionSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def and_above(self) -> list["LogLevel"]:
        levels = list(LogLevel)
        return levels[levels.index(self) :]


class ExecutionAgent(ResponseModel):
    """An agent as it was when the execution was started; events and calls name it by its `id`."""

    id: UUID
    name: str
    role: str


class OpenWait(ResponseModel):
    """What a step waits for. All but a `timer` and a `child` are inbox items, by the same id."""

    id: UUID
    kind: WaitKind
    title: str
    node: str
    path: str
    due_at: Timestamp | None


class ChildExecution(ResponseModel):
    """An execution that a step started, and waits for."""

    id: UUID
    node: str
    path: str
    status: ExecutionStatus


class ExecutionDetail(ExecutionOut):
    """Events with a `seq` below `events_pruned_before` may be gone by the tenant's policy; null: none are."""

    events_pruned_before: int | None
    agents: list[ExecutionAgent]
    steps: list[StepOut]
    waits: list[OpenWait]
    children: list[ChildExecution]


class LogOut(ResponseModel):
    """A line that a step wrote. `data` is whatever it added to the message."""

    seq: int
    at: Timestamp
    level: LogLevel
    message: str
    step: EventStep | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Whatever is None does not narrow. Times are those of creation: `start` included, `end` not. `top_level` leaves
    out executions that are part of others, unless those of one parent are asked for."""

    statuses: tuple[ExecutionStatus, ...] = ()
    kinds: tuple[ExecutionKind, ...] = ()
    workflow_id: UUID | None = None
    agent_id: UUID | None = None
    trigger_id: UUID | None = None
    parent_id: UUID | None = None
    origin_id: UUID | None = None
    top_level: bool = True
    start: datetime | None = None
    end: datetime | None = None
    search: str | None = None


async def _filter(
    status: Annotated[list[ExecutionStatus], Query(description="Any of these.", max_length=7)] = [],  # noqa: B006
    kind: Annotated[list[ExecutionKind], Query(description="Any of these.", max_length=7)] = [],  # noqa: B006
    agent: Annotated[UUID | None, Query(description="The id of the agent that is tested.")] = None,
    trigger: Annotated[UUID | None, Query(description="The id of the trigger that started them.")] = None,
    parent: Annotated[UUID | None, Query(description="The id of the execution that started them.")] = None,
    origin: Annotated[UUID | None, Query(description="The id of the execution that they were made of.")] = None,
    top_level: Annotated[bool, Query(description="Without those that other executions started.")] = True,
    start: Annotated[Moment | None, Query(alias="from", description="Created at or after.")] = None,
    end: Annotated[Moment | None, Query(alias="to", description="Created before.")] = None,
    q: Annotated[Text | None, Query(max_length=200, description="Part of the name.")] = None,
) -> ExecutionFilter:
    if start is not None and end is not None and start >= end:
        detail = ErrorDetail(field="query.to", message="must be later than from", code="range")
        raise Invalid("`from` must be earlier than `to`.", details=[detail])
    return ExecutionFilter(
        statuses=tuple(status),
        kinds=tuple(kind),
        agent_id=agent,
        trigger_id=trigger,
        parent_id=parent,
        origin_id=origin,
        top_level=top_level,
        start=start,
        end=end,
        search=q,
    )


Filtered = Annotated[ExecutionFilter, Depends(_filter)]
