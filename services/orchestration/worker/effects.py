"""What follows from a worker's committed writes: watchers are told, other workers rung for, parents looked after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from services.orchestration.adapters.ledger.live import LiveEvents
from services.orchestration.worker import metrics
from shared.executions.events import InboxChange


class WorkerEffects:
    """Implements the ledger's `Effects`. `ring` rings the doorbell, `sweep` has the sweeper look soon."""

    def __init__(self, live: LiveEvents, ring: Callable[[], Awaitable[None]], sweep: Callable[[], None]) -> None:
        self._live = live
        self._ring = ring
        self._sweep = sweep
        self._ringing: asyncio.Task[None] | None = None

    def published(self, execution_id: UUID, events: bytes) -> None:
        self._live.publish(execution_id, events)

    def rejected(self) -> None:
        metrics.REJECTED.inc()

    def asked(self, tenant_id: UUID, wait_ids: Sequence[UUID]) -> None:
        self._live.publish_inbox(tenant_id, InboxChange.NEW, wait_ids)

    def queued(self) -> None:
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.ensure_future(self._ring())

    def ended(self) -> None:
        self._sweep()
