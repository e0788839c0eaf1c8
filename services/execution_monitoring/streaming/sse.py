import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from services.execution_monitoring.streaming.feed import Watch, feed
from shared.auth.errors import NotAllowed, NotAuthenticated
from shared.kit.json import JsonObject, dumps
from shared.web.resources import Resources

HEARTBEAT_SECONDS = 15.0
_RETRY_MS = 1000


async def event_stream(app: Resources, watch: Watch) -> AsyncGenerator[str]:
    """Ends after `done`. Ends too when the watcher is no longer let in: he hears why when he comes back."""
    yield f"retry: {_RETRY_MS}\n\n"
    spoken = time.monotonic()
    try:
        async with aclosing(feed(app, watch)) as lists:
            async for events in lists:
                if events:
                    yield "".join(map(_encode, events))
                elif time.monotonic() - spoken >= HEARTBEAT_SECONDS:
                    yield ": still here\n\n"
                else:
                    continue
                spoken = time.monotonic()
    except (NotAuthenticated, NotAllowed):
        return


def _encode(event: JsonObject) -> str:
    # JSON has no line breaks of its own, so one data line is enough.
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {dumps(event)}\n\n"
