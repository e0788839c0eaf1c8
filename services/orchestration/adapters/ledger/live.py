"""Committed events, told to whoever listens: gathered for an instant, sent together, given up when Redis is away."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.executions.events import InboxChange, channel, inbox_changes, inbox_channel
from shared.kit.json import dumps
from shared.kit.logging import get_logger

log = get_logger(__name__)

_MOST_WAITING = 10_000
_MOST_AT_ONCE = 200
_PATIENCE = 2.0


class LiveEvents:
    """Never blocks and never fails: readers find what is missing by `seq`, in Postgres."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # redis-py leaves its pipelines half typed
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None

    def publish(self, execution_id: UUID, events: bytes) -> None:
        """`events` is a JSON list as the stream shows it."""
        self._post(channel(execution_id), events)

    def publish_inbox(self, tenant_id: UUID, change: InboxChange, wait_ids: Iterable[UUID]) -> None:
        self._post(inbox_channel(tenant_id), dumps(inbox_changes(change, wait_ids)).encode())

    def _post(self, name: str, message: bytes) -> None:
        self._waiting.append((name, message))
        if self._task is None:
            self._task = asyncio.create_task(self._send_all())

    async def close(self) -> None:
        """Waits until what was published is on its way."""
        if self._task is not None:
            await self._task

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send([self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("live events not published", error=repr(error), dropped=len(self._waiting))
            self._waiting.clear()
        finally:
            self._task = None

    async def _send(self, messages: list[tuple[str, bytes]]) -> None:
        async with asyncio.timeout(_PATIENCE):
            heard = await self._heard({name.encode() for name, _ in messages})
            if not heard:
                return
            async with self._redis.pipeline(transaction=False) as pipeline:
                for name, events in messages:
                    if name.encode() in heard:
                        pipeline.publish(name, events)
                await pipeline.execute()

    async def _heard(self, names: set[bytes]) -> set[bytes]:
        """Those that somebody listens to, as a rule few. Who begins to listen later has all of this in Postgres."""
        listeners: list[tuple[bytes, int]] = await self._redis.pubsub_numsub(*names)
        return {name for name, count in listeners if count}
