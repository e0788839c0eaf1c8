"""The live inbox of one person. What Redis says is a hint of what to look at; what is sent is read from Postgres."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from services.inbox import repository
from services.inbox.repository import Standing
from services.inbox.schemas import InboxCounts
from services.inbox.service import shape
from shared.auth.principal import Principal
from shared.executions.events import InboxChange, inbox_channel
from shared.kit.json import JsonObject
from shared.web.resources import Resources
from shared.web.streaming import Admission

# How long a silent stream goes on before its reader is asked for again.
PACE_SECONDS = 2.0
# Redis may be away, and a publisher may die before it publishes: so Postgres is asked now and then.
POLL_SECONDS = 5.0
# Between two looks, so that a burst of changes is one look for each reader.
BREATH_SECONDS = 0.1


async def feed(app: Resources, admission: Admission) -> AsyncGenerator[list[JsonObject]]:
    """Lists of `{"type", "data"}`, the first of them with the caller's counts; an empty list says that nothing
    happened for a while. Raises NotAuthenticated or NotAllowed when the caller is no longer let in."""
    caller = admission.caller
    known: Standing | None = None
    looked = 0.0
    async with app.hub.watch(inbox_channel(caller.tenant_id)) as watcher:
        hints: list[JsonObject] = []
        while True:
            await admission.recheck(app)
            events: list[JsonObject] = []
            if known is None or _concerns(caller, hints) or time.monotonic() - looked >= POLL_SECONDS:
                looked = time.monotonic()
                events, known = await _look(app, caller, hints, known)
                await asyncio.sleep(BREATH_SECONDS)
            yield events
            hints = await watcher.next(PACE_SECONDS)


def _concerns(caller: Principal, hints: Sequence[JsonObject]) -> bool:
    """What others have read changes nothing for the caller."""
    return any(hint.get("user_id") in (None, str(caller.user_id)) for hint in hints)


async def _look(
    app: Resources, caller: Principal, hints: Sequence[JsonObject], known: Standing | None
) -> tuple[list[JsonObject], Standing]:
    """The items that changed, and the counts if they may have."""
    changes = _changes(hints)
    async with app.database.read(caller.scope) as session:
        found = await repository.get_items(session, caller, [item_id for item_id, _ in changes]) if changes else []
        standing = await repository.read_standing(session, caller)
    items = {item.wait.id: shape(item).model_dump(mode="json") for item in found}
    events: list[JsonObject] = [
        {"type": "item", "data": {"change": change, "item": items[item_id]}}
        for item_id, change in changes
        if item_id in items
    ]
    if standing != known:
        counts = InboxCounts.model_validate(standing).model_dump()
        events.append({"type": "counts", "data": counts})
    return events, standing


def _changes(hints: Sequence[JsonObject]) -> list[tuple[UUID, str]]:
    """Each once, in the order in which they came."""
    named = [(UUID(hint["id"]), InboxChange(hint["change"]).value) for hint in hints if "id" in hint]
    return list(dict.fromkeys(named))
