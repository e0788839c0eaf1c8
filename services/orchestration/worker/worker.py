"""One worker process: everything it is made of, opened, run until told to leave, and closed."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from services.orchestration.adapters.ledger.claims import Claim, Claims
from services.orchestration.adapters.ledger.connections import Connections
from services.orchestration.adapters.ledger.ledger import PostgresLedger
from services.orchestration.adapters.ledger.live import LiveEvents
from services.orchestration.adapters.ledger.writer import GroupWriter
from services.orchestration.engine.ports import Ledger
from services.orchestration.worker import metrics
from services.orchestration.worker.effects import WorkerEffects
from services.orchestration.worker.holdings import Holdings, Runner
from services.orchestration.worker.host import Host
from services.orchestration.worker.http import serve
from services.orchestration.worker.leases import Heartbeat, LookHints
from services.orchestration.worker.pruning import Pruner
from services.orchestration.worker.reaper import Reaper
from services.orchestration.worker.sweeper import Sweeper
from shared.kit.ids import new_id
from shared.kit.logging import get_logger
from shared.kit.settings import Settings
from shared.tasks.doorbell import Doorbell
from shared.workflow.states import Lane

log = get_logger(__name__)

MakeRunner = Callable[[Ledger], Runner]
Loop = Callable[[], Coroutine[Any, Any, None]]

# Steps get this long to stop; what has not stopped then is released all the same.
PARK_SECONDS = 6.0
_CONTROL_CONNECTIONS = 3
_WRITE_CONNECTIONS = 4
_WRITE_PATIENCE = 15.0
_AFTER_A_FAULT = 1.0


@dataclass(frozen=True, slots=True)
class _Parts:
    host: Host
    holdings: Holdings
    heartbeat: Heartbeat
    hints: LookHints
    reaper: Reaper
    sweeper: Sweeper
    pruner: Pruner


class Worker:
    """`make_runner` makes what runs one execution; tests give one of their own. `besides` are loops that have nothing
    to do with the executions held here."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        doorbell: Doorbell,
        make_runner: MakeRunner,
        besides: Sequence[Loop] = (),
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._doorbell = doorbell
        self._make_runner = make_runner
        self._besides = besides
        self._parts: _Parts | None = None

    def hear(self) -> None:
        """The doorbell rang. Before `run` has begun it is ignored: `run` begins by looking."""
        if self._parts is not None:
            self._parts.host.hear()

    async def run(self, told_to_leave: Awaitable[None]) -> None:
        """Claims and runs executions until told to leave; returns when all are handed over."""
        async with AsyncExitStack() as stack:
            parts = self._parts = await self._open(stack)
            loops = [
                asyncio.create_task(_for_ever(loop))
                for loop in (
                    parts.heartbeat.run,
                    parts.hints.run,
                    parts.reaper.run,
                    parts.sweeper.run,
                    parts.pruner.run,
                    parts.host.run,
                    *self._besides,
                )
            ]
            log.info("worker ready", capacity=parts.holdings.capacity, lease_seconds=self._settings.lease_seconds)
            try:
                await told_to_leave
                log.info("worker leaving", executions=len(parts.holdings))
                await parts.host.leave(PARK_SECONDS)
            finally:
                self._parts = None
                for loop in loops:
                    loop.cancel()
                await asyncio.wait(loops)

    async def _open(self, stack: AsyncExitStack) -> _Parts:
        settings = self._settings
        lease = settings.lease_seconds
        url = settings.app_database_url.get_secret_value()
        # Apart from one another: many writes must not make a heartbeat late.
        control = await Connections.open(url, _CONTROL_CONNECTIONS, patience=max(1.0, lease / 3))
        stack.push_async_callback(control.close)
        writes = await Connections.open(url, _WRITE_CONNECTIONS, patience=_WRITE_PATIENCE)
        stack.push_async_callback(writes.close)
        live = LiveEvents(self._redis)
        stack.push_async_callback(live.close)

        claims = Claims(control, _name(), lease, settings.max_attempts)
        sweeper = Sweeper(claims, self._redis, self._doorbell.ring)
        writer = GroupWriter(writes, WorkerEffects(live, self._doorbell.ring, sweeper.soon))

        def open_ledger(claim: Claim) -> PostgresLedger:
            return PostgresLedger(claim, writes, writer)

        capacity = {
            Lane.DEFAULT.value: settings.worker_capacity,
            Lane.INGESTION.value: settings.worker_ingestion_capacity,
        }
        holdings = Holdings(capacity, probation=2 * lease, clock=time.monotonic)
        heartbeat = Heartbeat(claims, holdings, lease, time.monotonic)
        host = Host(claims, holdings, self._doorbell, open_ledger, self._make_runner, time.monotonic)
        await stack.enter_async_context(
            serve(settings.worker_http_address, lambda: self._parts is not None, lambda: _measure(holdings))
        )
        return _Parts(
            host=host,
            holdings=holdings,
            heartbeat=heartbeat,
            hints=LookHints(self._redis, holdings, heartbeat),
            reaper=Reaper(claims, heartbeat, self._redis, self._doorbell.ring, lease, time.time),
            sweeper=sweeper,
            pruner=Pruner(writes),
        )


async def _for_ever(loop: Loop) -> None:
    """Nothing that happens in one of a worker's loops may end it: the others would go on as if all were well."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("a loop of the worker failed")
        await asyncio.sleep(_AFTER_A_FAULT)


def _measure(holdings: Holdings) -> None:
    held = holdings.by_lane()
    for lane, capacity in holdings.capacity.items():
        metrics.HELD.labels(lane).set(held[lane])
        metrics.CAPACITY.labels(lane).set(capacity)


def _name() -> str:
    """As the ledger knows this process; the last part tells it from an earlier one with the same number."""
    return f"{socket.gethostname()}:{os.getpid()}:{new_id().hex[-8:]}"
