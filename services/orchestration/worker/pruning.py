"""Every worker removes, now and then, what tenants' policies no longer keep."""

import asyncio
import random

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from services.orchestration.adapters.ledger.connections import AWAY, Connections
from services.orchestration.worker import metrics
from shared.executions.retention import DEFAULT_DAYS
from shared.kit.json import dumps
from shared.kit.logging import get_logger

log = get_logger(__name__)

_INTERVAL = 60.0
# A tenant's turn comes again after so long.
_TURN_SECONDS = 600.0
# What one transaction may take away: a second's work, whatever the executions are.
_MOST = 50
_MOST_EVENTS = 20_000
_BREATH = 0.2


class Pruner:
    """Any number of them may run: each takes a tenant that no other is busy with."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._defaults = dumps(DEFAULT_DAYS).encode()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL * random.uniform(0.5, 1.5))
            try:
                await self.prune_all()
            except (*AWAY, asyncpg.LockNotAvailableError) as error:
                log.warning("could not prune", error=repr(error))

    async def prune_all(self) -> None:
        """Until no tenant is due."""
        while (pruned := await self.prune()) is not None:
            if pruned:
                # What others want of the database goes before.
                await asyncio.sleep(_BREATH)

    async def prune(self) -> int | None:
        """One turn of one tenant: how many executions lost something. None when no tenant is due."""
        rows = await self._connections.fetch(
            "SELECT * FROM ledger_prune($1, $2, $3, $4)", self._defaults, _TURN_SECONDS, _MOST, _MOST_EVENTS
        )
        done = [row for row in rows if row["what"] is not None]
        for row in done:
            metrics.PRUNED.labels(row["what"]).inc(row["executions"])
            log.info("pruned", tenant_id=str(row["tenant_id"]), what=row["what"], executions=row["executions"])
        return sum(row["executions"] for row in done) if rows else None
