"""The live side of an execution's stream: what is committed is told to whoever listens, and may be lost there.

Readers see by `seq` when something is missing and read it from Postgres.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC
from enum import StrEnum
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.database.tables.ledger import EventRow
from shared.kit.json import dumps
from shared.kit.logging import get_logger

log = get_logger(__name__)

# A worker that hears here the id of an execution it runs looks at once what is wanted of it: that it stops, or pauses,
# or goes on with what was answered.
LOOK_CHANNEL = "executions.cancel"

_PATIENCE = 0.5


def channel(execution_id: UUID) -> str:
    """Carries JSON lists of events in the shape of `EventOut`."""
    return f"executions:{execution_id}"


def wire(event: EventRow) -> dict[str, Any]:
    """An event as the stream shows it."""
    step = None
    if event.node is not None:
        step = {"node": event.node, "path": event.path, "attempt": event.attempt}
    return {"seq": event.seq, "type": event.type, "at": event.at.astimezone(UTC), "step": step, "data": event.data}


async def announce(redis: Redis, events: Iterable[EventRow], *, look: Iterable[UUID] = ()) -> None:
    """Publishes committed events, and has the workers of the executions `look` see to them at once. Quick, and never
    fails."""
    lists: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        lists[event.execution_id].append(wire(event))
    client: Any = redis  # redis-py leaves its pipelines half typed
    try:
        async with asyncio.timeout(_PATIENCE), client.pipeline(transaction=False) as pipeline:
            for execution_id, listed in lists.items():
                pipeline.publish(channel(execution_id), dumps(listed))
            for execution_id in look:
                pipeline.publish(LOOK_CHANNEL, str(execution_id))
            await pipeline.execute()
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("live events not published", error=str(error))


class InboxChange(StrEnum):
    """What became of an inbox item. One that is settled may have been answered, have expired or have been closed."""

    NEW = "new"
    SETTLED = "settled"
    ESCALATED = "escalated"


def inbox_channel(tenant_id: UUID) -> str:
    """Carries JSON lists of `{"change", "id"}`, and of `{"change": "read", "user_id"}` for a person's other windows."""
    return f"inbox:{tenant_id}"


async def announce_inbox(redis: Redis, tenant_id: UUID, change: InboxChange, wait_ids: Iterable[UUID]) -> None:
    """Publishes what was committed of waits that ask a person. Quick, and never fails."""
    await publish_inbox(redis, tenant_id, inbox_changes(change, wait_ids))


def inbox_changes(change: InboxChange, wait_ids: Iterable[UUID]) -> list[dict[str, str]]:
    return [{"change": change.value, "id": str(wait_id)} for wait_id in wait_ids]


async def publish_inbox(redis: Redis, tenant_id: UUID, changes: list[dict[str, str]]) -> None:
    if not changes:
        return
    client: Any = redis
    try:
        async with asyncio.timeout(_PATIENCE):
            await client.publish(inbox_channel(tenant_id), dumps(changes))
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("inbox changes not published", error=str(error))
