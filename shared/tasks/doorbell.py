"""Tells workers that there is work: never what, never how much. Rung after the commit that made the work."""

import asyncio
import base64
import contextlib
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.kit.json import dumps
from shared.kit.logging import get_logger

log = get_logger(__name__)

WAKE_TASK = "quarterdeck.wake"
WAKE_QUEUE = "wake"

_BREATH = 0.015  # seconds between two rings of one process
_UNHEARD = 16  # rings that may wait to be heard: one wakes one worker, and a worker takes all it has room for
_PATIENCE = 2.0

_RING = """
if redis.call('LLEN', KEYS[1]) < tonumber(ARGV[2]) then
    return redis.call('LPUSH', KEYS[1], ARGV[1])
end
return 0
"""
_NO_ARGUMENTS = base64.b64encode(b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]')


class Doorbell:
    """One per process and event loop. Rings at once, and once more for all that was rung in the next instant.

    Speaks Celery's wire format itself: a ring costs one Redis command on the loop's own connection, and an API
    process need not import Celery.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._ringing: asyncio.Task[None] | None = None
        self._again = False

    async def ring(self) -> None:
        """Returns at once and never fails: what is not heard now, workers find when they next look for work."""
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring_until_quiet())
        else:
            self._again = True

    async def close(self) -> None:
        """Waits until everything that was rung is on its way."""
        if self._ringing is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ringing, _PATIENCE)

    async def _ring_until_quiet(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            await self._ring_once()
            await asyncio.sleep(_BREATH)

    async def _ring_once(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._redis.eval(_RING, 1, WAKE_QUEUE, wake_message(), _UNHEARD)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the doorbell is not heard", error=str(error))


def wake_message() -> str:
    """A call of the task `quarterdeck.wake`, in version 2 of Celery's message protocol, as kombu puts it in Redis."""
    task_id = str(uuid4())
    headers: dict[str, Any] = {
        "lang": "py",
        "task": WAKE_TASK,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "ignore_result": True,
    }
    properties: dict[str, Any] = {
        "correlation_id": task_id,
        "delivery_mode": 1,
        "delivery_info": {"exchange": "", "routing_key": WAKE_QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": task_id,
    }
    return dumps(
        {
            "body": _NO_ARGUMENTS.decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )
