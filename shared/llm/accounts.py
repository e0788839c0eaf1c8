"""What is spent on models outside of executions: held against the tenant's budgets before, on record after.

Within executions the journal does both. Here nobody can be asked to let a call pass: one that a budget has not enough
left for is refused, whatever the budget says of that.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select, text

from shared.database.session import Database, Scope
from shared.database.tables.budgets import Budget
from shared.database.tables.models import ModelUse
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.llm.config import ModelConfig
from shared.llm.refusals import BudgetExceeded
from shared.llm.types import Usage
from shared.web.errors import ErrorDetail

_RESERVE = text(
    "SELECT name FROM budget_reserve(:tenant, :call, :call, :call, NULL, NULL, :model, :tokens, :cost, false) LIMIT 1"
)
_SETTLE = text("SELECT budget_settle(:tenant, ARRAY[:call]::uuid[], ARRAY[:tokens]::bigint[], ARRAY[:cost]::numeric[])")
_NOTHING = Usage()


@dataclass(slots=True)
class Use:
    """A call under way. `used` is to be set when the model has answered."""

    config: ModelConfig
    purpose: str
    id: UUID = field(default_factory=new_id)
    started_at: datetime = field(default_factory=utcnow)
    used: Usage | None = None


class Accounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def use(self, scope: Scope, config: ModelConfig, purpose: str, expected: Usage) -> AsyncGenerator[Use]:
        """Around a call. Raises `BudgetExceeded` before it is made; what failed is on record with nothing spent.

        A process that dies in between leaves the reservation, which is given back within minutes, and no record.
        """
        use = Use(config, purpose)
        reserved = await self._reserve(scope, use, expected)
        try:
            yield use
        finally:
            await self._close(scope, use, reserved)

    async def _reserve(self, scope: Scope, use: Use, expected: Usage) -> bool:
        """Whether anything is held back."""
        async with self._database.read(scope) as session:
            if not await session.scalar(select(exists().where(Budget.enabled, Budget.scope != "execution"))):
                return False
        asked = {
            "tenant": use.config.tenant_id,
            "call": use.id,
            "model": use.config.id,
            "tokens": expected.input_tokens + expected.output_tokens,
            "cost": expected.cost,
        }
        async with self._database.write(scope) as session:
            refused = await session.scalar(_RESERVE, asked)
        if refused is not None:
            message = f"the budget {refused!r} has not enough left for this call"
            raise BudgetExceeded(message, details=[ErrorDetail(field="budget", message=refused, code="exceeded")])
        return True

    async def _close(self, scope: Scope, use: Use, reserved: bool) -> None:
        used = use.used or _NOTHING
        async with self._database.write(scope) as session:
            session.add(_record(use, used, scope.user_id))
            if reserved:
                spent = {"tokens": used.input_tokens + used.output_tokens, "cost": used.cost}
                await session.execute(_SETTLE, {"tenant": use.config.tenant_id, "call": use.id, **spent})


def _record(use: Use, used: Usage, by: UUID | None) -> ModelUse:
    return ModelUse(
        id=use.id,
        tenant_id=use.config.tenant_id,
        model_id=use.config.id,
        kind=use.config.kind.value,
        purpose=use.purpose,
        status="failed" if use.used is None else "succeeded",
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost=used.cost,
        started_at=use.started_at,
        finished_at=utcnow(),
        created_by=by,
    )
