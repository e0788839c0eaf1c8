"""What live streams have in common: how they are sent, and that they end when their reader may no longer read."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, TypeVar, cast

from fastapi import Header
from starlette.responses import StreamingResponse
from starlette.types import Send

from shared.auth.errors import NotAllowed, NotAuthenticated
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.resources import Resources

# With what the authenticator remembers and a stream's own pace of two seconds, a logout ends it within five.
RECHECK_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
_RETRY_MS = 1000

Event = TypeVar("Event")

Authorization = Annotated[str | None, Header(include_in_schema=False)]


class EventStreamResponse(StreamingResponse):
    """Server-sent events. Proxies are asked not to hold them back; the source is closed when the reader leaves."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[str], status_code: int = 200) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, status_code, headers)

    async def stream_response(self, send: Send) -> None:
        async with aclosing(cast(AsyncGenerator[str], self.body_iterator)):
            await super().stream_response(send)


async def server_sent_events(lists: AsyncGenerator[list[Event]], encode: Callable[[Event], str]) -> AsyncGenerator[str]:
    """Sends the lists on, and that it is still there while they are empty. Ends with them, or when their reader is no
    longer let in: he hears why when he comes back."""
    yield f"retry: {_RETRY_MS}\n\n"
    spoken = time.monotonic()
    try:
        async with aclosing(lists):
            async for events in lists:
                if events:
                    yield "".join(map(encode, events))
                elif time.monotonic() - spoken >= HEARTBEAT_SECONDS:
                    yield ": still here\n\n"
                else:
                    continue
                spoken = time.monotonic()
    except (NotAuthenticated, NotAllowed):
        return


@dataclass(slots=True)
class Admission:
    """Whom a stream is for. `authorization` is the header that proved who he is, to be proved again."""

    caller: Principal
    authorization: str | None
    permission: Permission
    _checked: float = field(default_factory=time.monotonic, init=False)

    async def recheck(self, app: Resources) -> None:
        """To be called every two seconds at least, and as often as one likes. Raises NotAuthenticated or NotAllowed
        when the caller is no longer let in."""
        if time.monotonic() - self._checked < RECHECK_SECONDS:
            return
        caller = await app.authenticator.authenticate(self.authorization)
        if caller.tenant_id != self.caller.tenant_id:
            raise NotAuthenticated
        if not caller.may(self.permission):
            raise NotAllowed
        self._checked = time.monotonic()
