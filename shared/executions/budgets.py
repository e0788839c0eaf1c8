"""What a person gives an execution beyond its budget."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import update

from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.budgets import Budget
from shared.kit.json import Json

_LIMITS = ("tokens", "cost", "calls")


async def raise_limits(session: WriteSession, asked: Json, given: Json, by: Principal) -> None:
    """Sets the limits in `given["raise"]` on the budget that was asked about. Those of a tenant's own budget are for
    who may change it: raises `NotAllowed` for others. With the transaction that settles the question, or not at all."""
    about: Any = asked
    wanted: Any = given
    limits: Any = wanted and wanted.get("raise")
    raised: dict[str, Any] = {name: limits[name] for name in _LIMITS if limits and limits.get(name) is not None}
    if not raised or about["budget_id"] is None:
        return
    if "cost" in raised:
        raised["cost"] = Decimal(str(raised["cost"]))
    budget = await session.get(Budget, UUID(about["budget_id"]), with_for_update=True)
    if budget is None:
        return
    if budget.scope != "execution" and not by.may(Permission.BUDGETS_WRITE):
        raise NotAllowed("Only who may change the tenant's budgets may raise this one.")
    await session.execute(update(Budget).where(Budget.id == budget.id).values(raised))
