"""Live events in this process: one connection to Redis, shared by all who watch something here.

What comes through is a hint of what is in Postgres. It may be late, doubled or missing; readers go by `seq`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.kit.json import JsonObject, loads
from shared.kit.logging import get_logger

log = get_logger(__name__)

# Lists of events kept for a watcher that does not take them; beyond that it reads them from Postgres.
BACKLOG = 200
RETRY_SECONDS = 1.0
# A connection that has been silent is asked whether it lives, and given as long to say so.
PING_SECONDS = 10.0
_SUBSCRIBE_PATIENCE = 0.5
# Keeps the connection subscribed to something while nobody watches anything.
_IDLE_CHANNEL = "executions.idle"


class Watcher:
    """What came live since the last look. Holds a bounded amount: a slow reader loses the oldest."""

    def __init__(self) -> None:
        self._lists: deque[list[JsonObject]] = deque(maxlen=BACKLOG)
        self._arrived = asyncio.Event()

    def push(self, events: list[JsonObject]) -> None:
        self._lists.append(events)
        self._arrived.set()

    async def next(self, timeout: float) -> list[JsonObject]:
        """The events at hand, or none after `timeout` seconds of silence."""
        if not self._lists:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
        events = [event for listed in self._lists for event in listed]
        self._lists.clear()
        self._arrived.clear()
        return events


class _Channel:
    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self.subscribed = asyncio.Event()


class Hub:
    """One per process. Connects when it is first needed, and again whenever the connection breaks."""

    def __init__(self, broker_url: str) -> None:
        self._redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - redis-py leaves it untyped
            broker_url, socket_connect_timeout=2, socket_keepalive=True, retry=Retry(NoBackoff(), 0)
        )
        self._channels: dict[str, _Channel] = {}
        self._pubsub: Any = None
        self._listener: asyncio.Task[None] | None = None
        # Commands go out one at a time, while the listener reads.
        self._sending = asyncio.Lock()

    @asynccontextmanager
    async def watch(self, name: str) -> AsyncGenerator[Watcher]:
        """Inside, what is published on the channel is collected; from the first moment on, if Redis is there."""
        watcher = Watcher()
        watched = self._channels.setdefault(name, _Channel())
        watched.watchers.add(watcher)
        if self._listener is None:
            self._listener = asyncio.create_task(self._run())
        elif len(watched.watchers) == 1:
            await self._tell("subscribe", name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SUBSCRIBE_PATIENCE):
                await watched.subscribed.wait()
        try:
            yield watcher
        finally:
            watched.watchers.discard(watcher)
            if not watched.watchers and self._channels.get(name) is watched:
                del self._channels[name]
                await self._tell("unsubscribe", name)

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._redis.aclose()

    async def _tell(self, command: str, name: str) -> None:
        if self._pubsub is not None:
            # If it does not get through, the listener notices too and subscribes anew.
            with contextlib.suppress(RedisError, OSError):
                async with self._sending:
                    await getattr(self._pubsub, command)(name)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.warning("live events are away", cause=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(_IDLE_CHANNEL, *self._channels)
            self._pubsub = pubsub
            pinged = False
            while True:
                message = await pubsub.get_message(timeout=PING_SECONDS)
                if message is not None:
                    pinged = False
                    self._deliver(message)
                elif pinged:
                    raise TimeoutError("no answer to a ping")
                else:
                    pinged = True
                    async with self._sending:
                        await pubsub.ping()
        finally:
            self._pubsub = None
            for watched in self._channels.values():
                watched.subscribed.clear()
            await pubsub.aclose()

    def _deliver(self, message: dict[str, Any]) -> None:
        watched = self._channels.get((message["channel"] or b"").decode())
        if watched is None:
            return
        if message["type"] == "subscribe":
            watched.subscribed.set()
        elif message["type"] == "message":
            events: list[JsonObject] = loads(message["data"])
            for watcher in watched.watchers:
                watcher.push(events)
