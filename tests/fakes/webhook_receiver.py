"""An endpoint that webhooks are sent to, outside the product: notes what it gets, and behaves as it is told to."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from cli.stack.ports import find_free
from shared.kit.json import JsonObject, loads


@dataclass(frozen=True)
class Answer:
    """`hang` seconds pass first; `drop` closes the connection instead of answering."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: str = "ok"
    hang: float = 0.0
    drop: bool = False


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> JsonObject:
        return loads(self.body)


class WebhookReceiver:
    """Gives the answers of `script` one after the other, then takes everything."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.url = f"http://{address}/take"
        self.script: deque[Answer] = deque()
        self.received: list[Received] = []
        self._came = asyncio.Condition()

    def reset(self) -> None:
        self.script.clear()
        self.received.clear()

    async def have(self, count: int, within: float = 20) -> list[Received]:
        """Waits until so many messages came, whatever they were answered with."""
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def take(self, request: web.Request) -> web.Response:
        names = {name.lower(): value for name, value in request.headers.items()}
        async with self._came:
            self.received.append(Received(names, await request.read()))
            answer = self.script.popleft() if self.script else Answer()
            self._came.notify_all()
        await asyncio.sleep(answer.hang)
        if answer.drop and request.transport is not None:
            request.transport.abort()
        return web.Response(status=answer.status, headers=answer.headers, text=answer.body)


@asynccontextmanager
async def open_receiver() -> AsyncGenerator[WebhookReceiver]:
    port = find_free()
    receiver = WebhookReceiver(f"127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/take", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield receiver
    finally:
        await runner.cleanup()
