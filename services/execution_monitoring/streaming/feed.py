"""What a watcher gets to see: the stream, for as long as he may see it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from shared.events.stream import stream
from shared.kit.json import JsonObject
from shared.web.resources import Resources
from shared.web.streaming import Admission


@dataclass(frozen=True, slots=True)
class Watch:
    """One watcher of one execution."""

    admission: Admission
    execution_id: UUID
    after: int


async def feed(app: Resources, watch: Watch) -> AsyncGenerator[list[JsonObject]]:
    """As `stream`; raises NotAuthenticated or NotAllowed when the watcher is no longer let in."""
    scope = watch.admission.caller.scope
    async with aclosing(stream(app.database, app.hub, scope, watch.execution_id, watch.after)) as lists:
        async for events in lists:
            await watch.admission.recheck(app)
            yield events
