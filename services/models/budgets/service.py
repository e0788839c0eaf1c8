"""Budgets of a tenant: kept, found, changed, taken away. The engine asks them before every call."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.models.budgets import repository
from services.models.budgets.errors import BudgetInvalid, BudgetNameTaken, BudgetNotFound
from services.models.budgets.repository import SORTINGS, Filters, Row
from services.models.budgets.schemas import BudgetIn, BudgetOut, BudgetPeriod, BudgetScope, BudgetSort, Spent
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.budgets import Budget
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page

# What an answer says of the record itself.
_KEPT = BudgetOut.model_fields.keys() - {"spent", "reserved", "period_ends_at"}


async def list_budgets(
    session: ReadSession, filters: Filters, sort: BudgetSort, limit: int, cursor: str | None
) -> Page[BudgetOut]:
    sorting = SORTINGS[sort]
    after = decode_cursor(cursor, sorting.read, UUID) if cursor else None
    rows = await repository.budgets(session, filters, sort, after, limit + 1)
    return page(rows, limit, _out, lambda row: (getattr(row[0], sorting.column.key), row[0].id))


async def get(session: ReadSession, budget_id: UUID) -> BudgetOut:
    row = await repository.find(session, budget_id)
    if row is None:
        raise BudgetNotFound
    return _out(row)


async def create(session: WriteSession, caller: Principal, wanted: BudgetIn) -> BudgetOut:
    return await _save(session, Budget(id=new_id(), tenant_id=caller.tenant_id, created_by=caller.user_id), wanted)


async def update(session: WriteSession, budget_id: UUID, wanted: BudgetIn) -> BudgetOut:
    """What was spent stays spent; with another period, it counts anew."""
    budget = await repository.lock(session, budget_id)
    if budget is None:
        raise BudgetNotFound
    return await _save(session, budget, wanted)


async def delete(session: WriteSession, budget_id: UUID) -> None:
    budget = await repository.lock(session, budget_id)
    if budget is None:
        raise BudgetNotFound
    await session.delete(budget)


async def _save(session: WriteSession, budget: Budget, wanted: BudgetIn) -> BudgetOut:
    await _check_scope(session, wanted)
    for field, value in wanted.model_dump(mode="python").items():
        setattr(budget, field, value)
    session.add(budget)
    try:
        await session.flush()
    except IntegrityError as error:
        if is_unique_violation(error, "uq_budgets_tenant_id_name"):
            raise BudgetNameTaken from error
        raise
    return await get(session, budget.id)


async def _check_scope(session: WriteSession, wanted: BudgetIn) -> None:
    if wanted.scope is BudgetScope.TENANT or wanted.scope_id is None:
        return
    if not await repository.scope_exists(session, wanted.scope, wanted.scope_id):
        message = f"There is no {wanted.scope.value} {wanted.scope_id}."
        raise BudgetInvalid(details=[ErrorDetail(field="scope_id", message=message, code="unknown")])


def _out(row: Row) -> BudgetOut:
    budget, period = row
    return BudgetOut.model_validate(
        {
            **{name: getattr(budget, name) for name in _KEPT},
            "spent": _spent(period and (period.tokens, period.cost, period.calls)),
            "reserved": _spent(period and (period.reserved_tokens, period.reserved_cost, period.reserved_calls)),
            "period_ends_at": _end_of(BudgetPeriod(budget.period), utcnow()),
        }
    )


def _spent(amounts: tuple[int, object, int] | None) -> Spent:
    tokens, cost, calls = amounts or (0, 0, 0)
    return Spent.model_validate({"tokens": tokens, "cost": cost, "calls": calls})


def _end_of(period: BudgetPeriod, now: datetime) -> datetime | None:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case BudgetPeriod.DAY:
            return midnight + timedelta(days=1)
        case BudgetPeriod.MONTH:
            return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        case BudgetPeriod.TOTAL:
            return None
