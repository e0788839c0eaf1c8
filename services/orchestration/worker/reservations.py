"""Every worker gives back, now and then, what dead ones left reserved of budgets."""

import asyncio
import random

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.database.session import Database, Scope
from shared.kit.logging import get_logger

log = get_logger(__name__)

_INTERVAL = 60.0
# A call that was just recorded is about to be settled by the worker that made it.
_SETTLED_BY_NOW = 120.0
_RECONCILE = text("SELECT budget_reconcile(:older_than)")


class Reservations:
    """What a live worker holds is left alone; the rest is settled by the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL * random.uniform(0.5, 1.5))
            try:
                await self.reconcile()
            except (DBAPIError, OSError, TimeoutError) as error:
                log.warning("could not look for reservations that were left", error=type(error).__name__)

    async def reconcile(self) -> None:
        async with self._database.write(Scope()) as session:
            settled = await session.scalar(_RECONCILE, {"older_than": _SETTLED_BY_NOW})
        if settled:
            log.info("reservations settled that dead workers had left", executions=settled)
