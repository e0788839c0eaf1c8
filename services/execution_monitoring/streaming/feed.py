"""What a watcher gets to see: the stream, for as long as he may see it."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from shared.auth.errors import NotAllowed, NotAuthenticated
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.events.stream import stream
from shared.kit.json import JsonObject
from shared.web.resources import Resources

# With what the authenticator remembers and the stream's own pace, a logout ends a stream within five seconds.
RECHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Watch:
    """One watcher of one execution. `authorization` is the header that proved who he is, to be proved again."""

    caller: Principal
    authorization: str | None
    execution_id: UUID
    after: int


async def feed(app: Resources, watch: Watch) -> AsyncGenerator[list[JsonObject]]:
    """As `stream`; raises NotAuthenticated or NotAllowed when the watcher is no longer let in."""
    checked = time.monotonic()
    async with aclosing(stream(app.database, app.hub, watch.caller.scope, watch.execution_id, watch.after)) as lists:
        async for events in lists:
            if time.monotonic() - checked >= RECHECK_SECONDS:
                await _recheck(app, watch)
                checked = time.monotonic()
            yield events


async def _recheck(app: Resources, watch: Watch) -> None:
    caller = await app.authenticator.authenticate(watch.authorization)
    if caller.tenant_id != watch.caller.tenant_id:
        raise NotAuthenticated
    if not caller.may(Permission.EXECUTIONS_READ):
        raise NotAllowed
