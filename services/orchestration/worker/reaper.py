"""Every worker looks, now and then, for executions whose worker died."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from services.orchestration.adapters.ledger.claims import Claims
from services.orchestration.adapters.ledger.connections import AWAY
from services.orchestration.worker import metrics
from shared.executions.events import announce
from shared.kit.logging import get_logger

log = get_logger(__name__)

_LONGEST_INTERVAL = 5.0


class Reaper:
    """`ring` is called when something was put back into the queue."""

    def __init__(self, claims: Claims, redis: Redis, ring: Callable[[], Awaitable[None]], lease: float) -> None:
        self._claims = claims
        self._redis = redis
        self._ring = ring
        self._interval = min(lease / 3, _LONGEST_INTERVAL)

    async def run(self) -> None:
        while True:
            # Spread out, so that many workers look often and not all at once.
            await asyncio.sleep(self._interval * random.uniform(0.5, 1.5))
            try:
                await self.reap()
            except AWAY as error:
                log.warning("could not look for lost executions", error=repr(error))

    async def reap(self) -> None:
        events = await self._claims.reap()
        if not events:
            return
        taken = {event.execution_id for event in events}
        metrics.REAPED.inc(len(taken))
        log.warning("executions taken from workers that died", executions=sorted(map(str, taken)))
        await announce(self._redis, events)
        await self._ring()
