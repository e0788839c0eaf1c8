"""Every worker looks, about once a second, for what is due of waits: timers, expiries, answers that were not told."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from redis.asyncio import Redis

from services.orchestration.adapters.ledger.claims import Claims, Swept
from services.orchestration.adapters.ledger.connections import AWAY
from services.orchestration.worker import metrics
from shared.executions.events import InboxChange, announce, announce_inbox
from shared.kit.logging import get_logger
from shared.workflow.states import ExecutionStatus

log = get_logger(__name__)

_INTERVAL = 1.0
# Ends that come together are told together; and what others hold at this moment is looked at again after as long.
_GATHER = 0.02


class Sweeper:
    """`ring` is called when something was put into the queue."""

    def __init__(self, claims: Claims, redis: Redis, ring: Callable[[], Awaitable[None]]) -> None:
        self._claims = claims
        self._redis = redis
        self._ring = ring
        self._now = asyncio.Event()

    def soon(self) -> None:
        """Something is due."""
        self._now.set()

    async def run(self) -> None:
        while True:
            try:
                again = await self.sweep()
            except AWAY as error:
                again = False
                log.warning("could not look for what is due", error=repr(error))
            if again:
                self._now.set()
            try:
                # Spread out, so that many workers look often and not all at once.
                async with asyncio.timeout(_INTERVAL * random.uniform(0.75, 1.25)):
                    await self._now.wait()
                    await asyncio.sleep(_GATHER)
            except TimeoutError:
                pass
            self._now.clear()

    async def sweep(self) -> bool:
        """Whether there is more to do at once."""
        swept = await self._claims.sweep()
        if swept.events or swept.look:
            await announce(self._redis, swept.events, look=swept.look)
        if any(event.data.get("status") == ExecutionStatus.QUEUED for event in swept.events):
            await self._ring()
        await self._announce_inbox(swept)
        return swept.again

    async def _announce_inbox(self, swept: Swept) -> None:
        metrics.WAITS_SWEPT.inc(len(swept.settled) + len(swept.escalated))
        for change, items in ((InboxChange.SETTLED, swept.settled), (InboxChange.ESCALATED, swept.escalated)):
            for tenant_id, wait_ids in _by_tenant(items).items():
                await announce_inbox(self._redis, tenant_id, change, wait_ids)


def _by_tenant(items: Iterable[tuple[UUID, UUID]]) -> dict[UUID, list[UUID]]:
    grouped: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for tenant_id, wait_id in items:
        grouped[tenant_id].append(wait_id)
    return grouped
