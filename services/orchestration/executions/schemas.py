from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.executions.schemas import BudgetGiven, Priority
from shared.kit.json import JsonObject
from shared.web.schemas import RequestModel


class ExecutionCreate(RequestModel):
    """`version` is the workflow's; without it, the latest. `priority` counts among what the tenant has queued: the
    higher, the sooner."""

    workflow_id: UUID
    inputs: JsonObject = Field(default_factory=dict)
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    priority: Priority = 0
    budget: BudgetGiven | None = None


class ExecutionUpdate(RequestModel):
    priority: Priority
