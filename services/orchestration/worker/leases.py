"""Keeping what is held: the heartbeat, which also brings word of cancels, pauses, answers and of loss."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.orchestration.adapters.ledger.claims import Claims, Renewal
from services.orchestration.adapters.ledger.connections import AWAY
from services.orchestration.worker import metrics
from services.orchestration.worker.holdings import Held, Holdings
from shared.executions.events import LOOK_CHANNEL
from shared.kit import failpoints
from shared.kit.logging import get_logger

log = get_logger(__name__)

# A cancel is heard within this time even when Redis is away.
_LONGEST_INTERVAL = 3.0
_RETRY = 0.5
_RECONNECT = 1.0
_SILENCE = 15.0


class Heartbeat:
    """Renews the leases of all that is held, in one call, three times a lease or more."""

    def __init__(self, claims: Claims, holdings: Holdings, lease: float, clock: Callable[[], float]) -> None:
        self._claims = claims
        self._holdings = holdings
        self._lease = lease
        self._clock = clock
        self._interval = min(lease / 3, _LONGEST_INTERVAL)
        self._now = asyncio.Event()
        self._patient = True

    def soon(self) -> None:
        """Do not wait for the next one."""
        self._now.set()

    async def run(self) -> None:
        while True:
            reached = await self.beat()
            try:
                async with asyncio.timeout(self._interval if reached else min(_RETRY, self._interval)):
                    await self._now.wait()
            except TimeoutError:
                pass
            self._now.clear()

    async def beat(self) -> bool:
        """One heartbeat; false when the database was not reached."""
        asked = self._holdings.epochs()
        if not asked:
            return True
        sent_at = self._clock()
        if failpoints.armed:
            await failpoints.reach("worker.heartbeat")
        try:
            answer = await self._claims.renew(asked, patient=self._patient)
        except (asyncpg.PostgresError, *AWAY) as error:
            # It may have been a lock on one of them: that must not cost the others their leases.
            self._patient = False
            metrics.HEARTBEATS_FAILED.inc()
            log.warning("heartbeat failed", error=repr(error), executions=len(asked))
            self._drop_expired()
            return False
        self._patient = True
        for execution_id, epoch in asked.items():
            held = self._holdings.get(execution_id)
            if held is not None and held.claim.epoch == epoch:
                self._take_note(held, answer, sent_at)
        return True

    def _take_note(self, held: Held, answer: dict[UUID, Renewal], sent_at: float) -> None:
        renewal = answer.get(held.claim.id)
        if renewal is None:
            held.lose()
            metrics.LEASES_LOST.inc()
            return
        if renewal.renewed:
            held.renewed_at = sent_at
        if renewal.cancel_requested:
            held.cancel()
        elif renewal.pause_requested:
            held.pause()
        held.wake(renewal.wakes)

    def _drop_expired(self) -> None:
        now = self._clock()
        for held in self._holdings:
            if now - held.renewed_at > self._lease and not held.given_up:
                log.warning("lease over while the database is away", execution_id=str(held.claim.id))
                held.give_up()
                metrics.LEASES_LOST.inc()


class LookHints:
    """Hears over Redis that an execution was asked something, and has the heartbeat look at once.

    A hint is only that: what counts is what Postgres says.
    """

    def __init__(self, redis: Redis, holdings: Holdings, heartbeat: Heartbeat) -> None:
        self._redis: Any = redis  # redis-py leaves its subscriptions half typed
        self._holdings = holdings
        self._heartbeat = heartbeat

    async def run(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(LOOK_CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=_SILENCE)
                        if message is None:
                            await channel.ping()  # fails when nobody is there any more
                        else:
                            self._hear(message["data"])
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(_RECONNECT)

    def _hear(self, text: bytes) -> None:
        try:
            execution_id = UUID(text.decode())
        except ValueError:
            return
        if self._holdings.get(execution_id) is not None:
            self._heartbeat.soon()
