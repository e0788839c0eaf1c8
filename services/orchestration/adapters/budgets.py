"""The engine's port to budgets, over the functions in Postgres that reserve and settle."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, exists, select, text

from services.orchestration.engine.ports import Charge, Exceeded, Usage
from shared.database.away import PATIENCE, outlast
from shared.database.session import Database, Scope
from shared.database.tables.budgets import Budget
from shared.kit.json import JsonObject
from shared.kit.logging import get_logger
from shared.llm.cache import Cache

log = get_logger(__name__)

# How long a new budget may take to reach calls. A tenant without any pays nothing for there being budgets.
_FRESH_SECONDS = 5.0
_MOST_TENANTS = 10_000
_MOST_AT_ONCE = 200
# What is not settled in time is settled from the journal, once nobody holds the execution any more.
_SETTLING = 60.0
_CLOSING = 5.0

_RESERVE = text(
    "SELECT * FROM budget_reserve(:tenant, :call, :execution, :root, :workflow, :agent, :model, :tokens, :cost, :force)"
)
_SETTLE = text("SELECT budget_settle(:tenant, :calls, :tokens, :costs)")
_RECOVER = text("SELECT budget_recover(:tenant, :execution)")


class PostgresBudgets:
    """Implements `ports.Budgets`. Used from one event loop."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._limited: Cache[UUID, tuple[float, bool]] = Cache(_MOST_TENANTS)
        self._reserved: set[UUID] = set()
        self._used: dict[UUID, dict[UUID, Usage]] = {}
        self._settling: asyncio.Task[None] | None = None

    def unlimited(self, tenant_id: UUID) -> bool:
        known = self._limited.get(tenant_id)
        return known is not None and not known[1] and known[0] > self._clock()

    async def reserve(self, tenant_id: UUID, charge: Charge, *, force: bool = False) -> Exceeded | None:
        if not charge.own and not await self._is_limited(tenant_id):
            return None
        asked = {
            "tenant": tenant_id,
            "call": charge.call_id,
            "execution": charge.execution_id,
            "root": charge.root_id,
            "workflow": charge.workflow_id,
            "agent": charge.agent_id,
            "model": charge.model_id,
            "tokens": charge.tokens,
            "cost": charge.cost,
            "force": force,
        }
        refused = await self._ask(tenant_id, _RESERVE, asked)
        if refused is None:
            self._reserved.add(charge.call_id)
            return None
        return _exceeded(refused)

    def settle(self, tenant_id: UUID, call_id: UUID, used: Usage) -> None:
        if call_id not in self._reserved:
            return
        self._reserved.discard(call_id)
        self._used.setdefault(tenant_id, {})[call_id] = used
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle_all())

    async def recover(self, tenant_id: UUID, execution_id: UUID) -> None:
        await self._ask(tenant_id, _RECOVER, {"tenant": tenant_id, "execution": execution_id})

    async def close(self) -> None:
        """Waits a little until what was used is written."""
        if self._settling is not None:
            await asyncio.wait((self._settling,), timeout=_CLOSING)

    async def _is_limited(self, tenant_id: UUID) -> bool:
        known = self._limited.get(tenant_id)
        if known is None or known[0] < self._clock():
            limited = await outlast(lambda: self._has_standing(tenant_id))
            known = (self._clock() + _FRESH_SECONDS, limited)
            self._limited.put(tenant_id, known)
        return known[1]

    async def _has_standing(self, tenant_id: UUID) -> bool:
        async with self._database.read(Scope(tenant_id=tenant_id)) as session:
            return bool(await session.scalar(select(exists().where(Budget.enabled, Budget.scope != "execution"))))

    async def _settle_all(self) -> None:
        """Those of a tenant together: calls that end at the same time cost one transaction."""
        try:
            while self._used:
                tenant_id, used = self._used.popitem()
                calls = list(used.items())
                for start in range(0, len(calls), _MOST_AT_ONCE):
                    await self._settle(tenant_id, calls[start : start + _MOST_AT_ONCE])
        finally:
            self._settling = None

    async def _settle(self, tenant_id: UUID, used: list[tuple[UUID, Usage]]) -> None:
        values = {
            "tenant": tenant_id,
            "calls": [call_id for call_id, _ in used],
            "tokens": [usage.input_tokens + usage.output_tokens for _, usage in used],
            "costs": [usage.cost for _, usage in used],
        }
        try:
            await self._ask(tenant_id, _SETTLE, values, within=_SETTLING)
        except Exception as error:  # noqa: BLE001  # the journal has it; what stays reserved is reconciled from there
            log.warning("budgets not settled", tenant_id=str(tenant_id), calls=len(used), error=repr(error))

    async def _ask(self, tenant_id: UUID, statement: TextClause, values: JsonObject, within: float = PATIENCE) -> Any:
        """The first row of the answer, if there is any, in a transaction of its own."""

        async def act() -> Any:
            async with self._database.write(Scope(tenant_id=tenant_id)) as session:
                return (await session.execute(statement, values)).mappings().first()

        return await outlast(act, within)


def _exceeded(refused: Any) -> Exceeded:
    return Exceeded(
        budget_id=refused["budget_id"],
        name=refused["name"] if refused["standing"] else "this execution",
        standing=refused["standing"],
        asks_a_person=refused["on_exceeded"] == "wait",
        limit=_amounts(refused["max_tokens"], refused["max_cost"], refused["max_calls"]),
        spent=_amounts(refused["tokens"], refused["cost"], refused["calls"]),
    )


def _amounts(tokens: int | None, cost: Decimal | None, calls: int | None) -> JsonObject:
    amounts: JsonObject = {
        "tokens": tokens,
        "cost": None if cost is None else format(cost.normalize(), "f"),
        "calls": calls,
    }
    return {name: value for name, value in amounts.items() if value is not None}
