"""The live inbox as a reader gets it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import httpx

Event: TypeAlias = tuple[str, dict[str, Any]]
Events: TypeAlias = AsyncGenerator[Event]


@asynccontextmanager
async def watch(url: str, headers: Mapping[str, str]) -> AsyncGenerator[Events]:
    """Type and data of what is sent."""
    async with (
        httpx.AsyncClient(timeout=20, headers=headers) as client,
        client.stream("GET", f"{url}/api/v1/inbox/stream") as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _events(response)


async def following(events: Events) -> Event:
    return await asyncio.wait_for(anext(events), 8)


async def _events(response: httpx.Response) -> Events:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "event" in fields:
            yield fields["event"], json.loads(fields["data"])
            fields = {}
