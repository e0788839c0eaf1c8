"""Budgets over the wire."""

from enum import StrEnum
from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from shared.executions.schemas import BudgetCost, BudgetCount
from shared.web.schemas import Money, Name, RequestModel, ResponseModel, Timestamp


class BudgetScope(StrEnum):
    TENANT = "tenant"
    WORKFLOW = "workflow"
    AGENT = "agent"
    MODEL = "model"


class BudgetPeriod(StrEnum):
    """Days and months are those of UTC."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class BudgetIn(RequestModel):
    """A limit that is not given does not limit; one has to be. Every model, tool and other call of an execution counts
    as a call.

    A call that would exceed a budget is not made: its step fails, or waits for a person to let it pass.
    """

    name: Name
    scope: BudgetScope
    scope_id: UUID | None = Field(default=None, description="Which workflow, agent or model; not for the tenant.")
    period: BudgetPeriod
    tokens: BudgetCount | None = None
    cost: BudgetCost | None = None
    calls: BudgetCount | None = None
    on_exceeded: Literal["fail", "wait"] = "fail"
    enabled: bool = True

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if (self.scope is BudgetScope.TENANT) != (self.scope_id is None):
            raise ValueError("scope_id names the workflow, agent or model; a budget of the tenant has none")
        if self.tokens is None and self.cost is None and self.calls is None:
            raise ValueError("give at least one limit: tokens, cost or calls")
        return self


class Spent(ResponseModel):
    tokens: int
    cost: Money
    calls: int


class BudgetOut(ResponseModel):
    """`spent` is that of the period that is now, `reserved` what calls under way may still spend of it."""

    id: UUID
    name: str
    scope: BudgetScope
    scope_id: UUID | None
    period: BudgetPeriod
    tokens: int | None
    cost: Money | None
    calls: int | None
    on_exceeded: Literal["fail", "wait"]
    enabled: bool
    spent: Spent
    reserved: Spent
    period_ends_at: Timestamp | None
    created_by: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class BudgetSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"
    NAME = "name"
    NAME_DOWN = "-name"
