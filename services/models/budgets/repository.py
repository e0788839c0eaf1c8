"""All queries on budgets. Row-level security narrows each of them to the caller's tenant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, select

from services.models.budgets.schemas import BudgetScope, BudgetSort
from shared.database.session import ReadSession, WriteSession
from shared.database.sorting import by_name, by_time
from shared.database.tables.agents import Agent
from shared.database.tables.budgets import Budget, BudgetPeriod
from shared.database.tables.models import Model
from shared.database.tables.workflows import Workflow

SORTINGS = {
    BudgetSort.NEWEST: by_time(Budget.created_at, Budget.id, descending=True),
    BudgetSort.OLDEST: by_time(Budget.created_at, Budget.id, descending=False),
    BudgetSort.NAME: by_name(Budget.name, Budget.id, descending=False),
    BudgetSort.NAME_DOWN: by_name(Budget.name, Budget.id, descending=True),
}

_SCOPES = {BudgetScope.WORKFLOW: Workflow, BudgetScope.AGENT: Agent, BudgetScope.MODEL: Model}

# A budget and its present period, if anything was spent in it. Those of single executions are not kept by people.
Row = tuple[Budget, BudgetPeriod | None]


@dataclass(frozen=True, slots=True)
class Filters:
    q: str | None = None
    scope: BudgetScope | None = None

    def conditions(self) -> Iterable[ColumnElement[bool]]:
        if self.q:
            yield Budget.name.icontains(self.q, autoescape=True)
        if self.scope is not None:
            yield Budget.scope == self.scope


def _with_period() -> Select[Budget, BudgetPeriod]:
    now = and_(BudgetPeriod.budget_id == Budget.id, BudgetPeriod.starts_on == func.budget_period_start(Budget.period))
    return select(Budget, BudgetPeriod).outerjoin(BudgetPeriod, now).where(Budget.scope != "execution")


async def budgets(
    session: ReadSession, filters: Filters, sort: BudgetSort, after: tuple[Any, UUID] | None, limit: int
) -> Sequence[Row]:
    statement = SORTINGS[sort].page(_with_period().where(*filters.conditions()), after, limit)
    return [(budget, period) for budget, period in await session.execute(statement)]


async def find(session: ReadSession, budget_id: UUID) -> Row | None:
    found = (await session.execute(_with_period().where(Budget.id == budget_id))).one_or_none()
    return None if found is None else (found[0], found[1])


async def lock(session: WriteSession, budget_id: UUID) -> Budget | None:
    statement = select(Budget).where(Budget.id == budget_id, Budget.scope != "execution").with_for_update()
    return await session.scalar(statement)


async def scope_exists(session: ReadSession, scope: BudgetScope, scope_id: UUID) -> bool:
    table = _SCOPES[scope]
    return await session.scalar(select(table.id).where(table.id == scope_id)) is not None
