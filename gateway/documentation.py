"""The services' OpenAPI documents, asked for the same way whether they are in this process or not."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from gateway.openapi import merge
from gateway.reference import render_reference
from gateway.routing import SERVICES
from shared.kit.json import JsonObject, dumps, loads
from shared.kit.logging import get_logger

log = get_logger(__name__)

REFRESH_SECONDS = 60.0
# What was missing is asked for again soon.
RETRY_SECONDS = 5.0
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """The merged document as data and as a page, ready to be sent."""

    openapi: bytes
    page: bytes


class Documentation:
    """Asks the services for their documents, merges them and keeps the result for a while."""

    def __init__(self, upstreams: Mapping[str, ASGIApp]) -> None:
        self._upstreams = upstreams
        self._rendered = Rendered(b"", b"")
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def rendered(self) -> Rendered:
        async with self._lock:
            if time.monotonic() >= self._fresh_until:
                await self._refresh()
        return self._rendered

    async def _refresh(self) -> None:
        names = [name for name in SERVICES if name in self._upstreams]
        answers = await asyncio.gather(*(self._ask(name) for name in names))
        documents = {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}
        document = merge(documents)
        self._rendered = Rendered(dumps(document).encode(), render_reference(document).encode())
        complete = len(documents) == len(names)
        self._fresh_until = time.monotonic() + (REFRESH_SECONDS if complete else RETRY_SECONDS)

    async def _ask(self, service: str) -> JsonObject | None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await _get_json(self._upstreams[service], "/api/v1/openapi.json")
        except Exception as error:  # noqa: BLE001 - one service that is away must not take the others' pages with it
            log.warning("no OpenAPI document", service=service, cause=str(error))
            return None


async def _get_json(app: ASGIApp, path: str) -> JsonObject:
    """Asks an ASGI app in the gateway's own name."""
    start: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> Message:
        await asyncio.Event().wait()  # the request has no body, and this client does not leave
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": None,
        "server": None,
        "state": {},
    }
    await app(scope, receive, send)
    if start.get("status") != 200:
        raise ValueError(f"answered {start.get('status')}")
    return loads(bytes(body))
