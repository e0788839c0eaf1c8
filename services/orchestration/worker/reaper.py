"""Every worker looks, now and then, for executions whose worker died."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from services.orchestration.adapters.ledger.claims import Claims
from services.orchestration.adapters.ledger.connections import AWAY
from services.orchestration.worker import metrics
from services.orchestration.worker.leases import Heartbeat
from shared.executions.events import announce
from shared.kit.logging import get_logger

log = get_logger(__name__)

_LONGEST_INTERVAL = 5.0
_OVERSLEPT = 5.0
_GRACE = 2.0


class Reaper:
    """`ring` is called when something was put back into the queue. `clock` goes on while the machine sleeps."""

    def __init__(
        self,
        claims: Claims,
        heartbeat: Heartbeat,
        redis: Redis,
        ring: Callable[[], Awaitable[None]],
        lease: float,
        clock: Callable[[], float],
    ) -> None:
        self._claims = claims
        self._heartbeat = heartbeat
        self._redis = redis
        self._ring = ring
        self._clock = clock
        self._interval = min(lease / 3, _LONGEST_INTERVAL)

    async def run(self) -> None:
        settled = True
        while True:
            # Spread out, so that many workers look often and not all at once.
            pause = self._interval * random.uniform(0.5, 1.5)
            went_to_sleep = self._clock()
            await asyncio.sleep(pause)
            settled = settled and self._clock() - went_to_sleep < pause + _OVERSLEPT
            try:
                if not settled:
                    # Nobody could renew a lease while the database was away or the machine slept. Let those who are
                    # alive do it first, else their executions would be counted as lost with them.
                    await self._claims.renew({})
                    await asyncio.sleep(_GRACE)
                settled = await self._heartbeat.beat()
                if settled:
                    await self.reap()
            except AWAY as error:
                settled = False
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
