"""Every worker fires the schedules that are due. Postgres sees to it that each time fires once."""

import asyncio
import random

from sqlalchemy.exc import DBAPIError

from shared.database.session import Database
from shared.executions.submit import Ring
from shared.kit.ids import new_id
from shared.kit.logging import get_logger
from shared.triggers.firing import fire_next_due
from shared.web.context import bind_correlation_id

log = get_logger(__name__)

# Schedules like full hours: then many are due together.
_AT_ONCE = 4
_INTERVAL = 1.0


class Schedules:
    """`ring` is called when executions were queued."""

    def __init__(self, database: Database, ring: Ring) -> None:
        self._database = database
        self._ring = ring

    async def run(self) -> None:
        while True:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.create_task(self._fire_all_due())
            # Spread out, so that many workers look often and not all at once.
            await asyncio.sleep(_INTERVAL * random.uniform(0.5, 1.5))

    async def _fire_all_due(self) -> None:
        more = True
        while more:
            bind_correlation_id(new_id().hex)
            try:
                more = await fire_next_due(self._database, self._ring)
            except (DBAPIError, OSError, TimeoutError) as error:
                log.warning("could not look for due schedules", error=type(error).__name__)
                return
