"""What calls may cost."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from services.orchestration.engine.ports.models import Usage
from shared.kit.json import JsonObject


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call may come to use, before it is made. `root_id` is the topmost execution's, whose own budget (`own`
    says whether it has one) counts what its children spend too."""

    call_id: UUID
    execution_id: UUID
    root_id: UUID
    own: bool
    workflow_id: UUID | None
    agent_id: UUID | None
    model_id: UUID | None
    tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A budget that has not enough left for a call; limits and what is spent by name: tokens, cost, calls, time_ms.

    A `standing` one is the tenant's, and not for this execution alone.
    """

    budget_id: UUID | None
    name: str
    standing: bool
    asks_a_person: bool
    limit: JsonObject
    spent: JsonObject


class Budgets(Protocol):
    """Holds back what a call may use before it is made, and counts what it did use after it."""

    def unlimited(self, tenant_id: UUID) -> bool:
        """Whether it is known, without looking, that no budget of the tenant's covers any call."""
        ...

    async def reserve(self, tenant_id: UUID, charge: Charge, *, force: bool = False) -> Exceeded | None:
        """None when all is reserved, of every budget that covers the call. A person may have it forced."""
        ...

    def settle(self, tenant_id: UUID, call_id: UUID, used: Usage) -> None:
        """Returns at once; a call that nothing was reserved for may be given too."""
        ...

    async def recover(self, tenant_id: UUID, execution_id: UUID) -> None:
        """Settles what an earlier worker of the execution left reserved."""
        ...
