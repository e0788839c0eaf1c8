"""A client as a careful program is one: it asks again until it is answered, and never twice for the same thing."""

import asyncio
import contextlib
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.kit.ids import new_id
from tests.chaos.world import World
from tests.support.platform import PASSWORD

_PATIENCE = 120.0
_AGAIN = (429, 500, 502, 503, 504)


@dataclass
class Person:
    """One signed-in person of a tenant."""

    http: httpx.AsyncClient
    email: str
    tenant_id: str = ""
    model_id: str = ""

    @classmethod
    async def register(cls, world: World) -> "Person":
        http = httpx.AsyncClient(base_url=f"{world.url}/api/v1", timeout=15, limits=httpx.Limits(max_connections=200))
        person = cls(http, f"{new_id().hex}@example.com")
        about = {"email": person.email, "password": PASSWORD, "display_name": "Chaos"}
        answer = await person.ask("POST", "/auth/register", json=about)
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        person.tenant_id = (await person.ask("GET", "/users/me")).json()["tenant"]["id"]
        model = {
            "name": "Scripted",
            "provider": "openai_compatible",
            "model": "fake",
            "settings": {"base_url": world.provider.base_url},
            "api_key": "sk-chaos",
            "input_price": "1",
            "output_price": "1",
        }
        person.model_id = (await person.ask("POST", "/models", json=model)).json()["id"]
        return person

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The first answer that is one: as long as nobody is there, or says that he cannot now, it is asked again."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.http.request(method, path, **options)
                if answer.status_code == 401 and path != "/auth/login":
                    await self._sign_in()
                    continue
                if answer.status_code not in _AGAIN:
                    return answer
            assert time.monotonic() < deadline, f"{method} {path} was not answered within {_PATIENCE} s"
            await asyncio.sleep(random.uniform(0.1, 0.5))

    async def once(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """The answer, or None if there was none."""
        try:
            return await self.http.request(method, path, **options)
        except httpx.TransportError:
            return None

    async def made(self, path: str, body: Any) -> str:
        answer = await self.ask("POST", path, json=body)
        assert answer.status_code in (201, 202), f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json()["id"]

    async def _sign_in(self) -> None:
        answer = await self.ask("POST", "/auth/login", json={"email": self.email, "password": PASSWORD})
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


@dataclass
class Follower:
    """Reads one execution's stream to its end, cut off now and then, each time from where it was."""

    person: Person
    execution_id: str
    dice: random.Random
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    cut_off: int = 0

    async def follow(self) -> None:
        while not self.events or self.events[-1]["type"] != "done":
            with contextlib.suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(30):
                    await self._read(self.dice.randint(1, 12))
            self.cut_off += 1
            await asyncio.sleep(self.dice.uniform(0, 0.3))

    async def _read(self, most: int) -> None:
        """So many events, from after the last one."""
        after = self.events[-1]["seq"] if self.events else 0
        path, headers = f"/executions/{self.execution_id}/events", {"Last-Event-ID": str(after)}
        async with self.person.http.stream("GET", path, headers=headers) as answer:
            if answer.status_code != 200:
                return
            async for line in answer.aiter_lines():
                if not line.startswith("data:"):
                    continue
                self.events.append(json.loads(line[5:]))
                most -= 1
                if most == 0 or self.events[-1]["type"] == "done":
                    return
