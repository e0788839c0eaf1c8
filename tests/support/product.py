"""The whole product as real processes: the API in one of its two compositions, and workers that can be killed."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from cli.stack.ports import find_free
from cli.stack.product import SERVICES, WebProcess, Worker, one_process, one_process_each
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.kit.settings import Settings
from tests.fakes.model_server import FakeModelServer
from tests.support.platform import PASSWORD

Composition = Literal["one", "split"]
ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class Product:
    """`environment` is what every process gets; `workers` are the live ones, oldest first."""

    url: str
    environment: dict[str, str]
    logs: Path
    provider: FakeModelServer
    web: list[WebProcess]
    workers: list[Worker] = field(default_factory=list[Worker])
    clients: list["Client"] = field(default_factory=list["Client"])

    async def start_worker(self, **environment: str) -> Worker:
        log = self.logs / f"worker-{new_id().hex[-6:]}.log"
        worker = Worker(environment={**self.environment, **environment}, log=log)
        await worker.start()
        self.workers.append(worker)
        return worker

    async def kill(self, worker: Worker) -> None:
        """kill -9, and gone when this returns."""
        assert worker.process is not None
        worker.process.kill()
        assert await worker.process.wait(5) is not None, "the worker survived kill -9"
        self.workers.remove(worker)

    async def stop(self) -> None:
        await asyncio.gather(*(client.http.aclose() for client in self.clients))
        await asyncio.gather(*(part.stop() for part in (*self.workers, *self.web)))

    async def sign_up(self, name: str = "Ada") -> "Client":
        """A client signed in as the owner of a fresh tenant, with a model record that leads to the fake provider."""
        http = httpx.AsyncClient(base_url=self.url, timeout=30)
        client = Client(http)
        self.clients.append(client)
        answer = await http.post(
            "/api/v1/auth/register",
            json={"email": f"{new_id().hex}@example.com", "password": PASSWORD, "display_name": name},
        )
        assert answer.status_code == 201, answer.text
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        model = await client.post(
            "/models",
            {
                "name": "Scripted",
                "provider": "openai_compatible",
                "model": "fake",
                "settings": {"base_url": self.provider.base_url},
                "api_key": "sk-canary-0123456789",
            },
        )
        client.model_id = model["id"]
        return client


@dataclass
class Client:
    """Speaks the public API as one person; every call asserts that it succeeded."""

    http: httpx.AsyncClient
    model_id: str = ""

    async def get(self, path: str, **params: Any) -> Any:
        return self._answer(await self.http.get(f"/api/v1{path}", params=params))

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._answer(await self.http.post(f"/api/v1{path}", json=body, headers=headers))

    def _answer(self, answer: httpx.Response) -> Any:
        assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def agent(self, name: str, **fields: Any) -> str:
        body = {"name": name, "role": name, "goal": f"Be a good {name}", "backstory": "Experienced.", **fields}
        made = await self.post("/agents", {"model_id": self.model_id, **body})
        return made["id"]

    async def workflow(self, graph: JsonObject, name: str = "A workflow") -> str:
        made = await self.post("/workflows", {"name": name, "graph": graph})
        return made["id"]

    async def crew(self, *roles: str, topic_input: str = "topic") -> str:
        """A workflow of one crew node: an agent and a task per role, one after the other."""
        agents = [await self.agent(role) for role in roles]
        tasks = [
            {
                "name": f"{role}_task",
                "description": f"As {role}, work on {{{{ inputs.{topic_input} }}}}.",
                "expected_output": "A short text.",
                "agent_id": agent,
            }
            for role, agent in zip(roles, agents, strict=True)
        ]
        config = {"process": "sequential", "agent_ids": agents, "tasks": tasks}
        return await self.workflow(
            {
                "spec": 1,
                "inputs": {
                    "type": "object",
                    "properties": {topic_input: {"type": "string"}},
                    "required": [topic_input],
                },
                "nodes": [{"id": "crew", "type": "crew", "name": "Crew", "config": config}],
                "edges": [],
                "outputs": {"text": "nodes.crew.output.text"},
            }
        )

    async def execute(self, workflow_id: str, inputs: JsonObject, **headers: str) -> str:
        started = await self.post(f"/workflows/{workflow_id}/execute", {"inputs": inputs}, **headers)
        return started["id"]

    async def finished(self, execution_id: str, within: float = 60) -> JsonObject:
        """The execution once it has ended."""
        deadline = time.monotonic() + within
        while True:
            execution = await self.get(f"/executions/{execution_id}")
            if execution["status"] in ENDED:
                return execution
            assert time.monotonic() < deadline, f"not ended within {within} s: {execution}"
            await asyncio.sleep(0.1)

    async def until(self, execution_id: str, status: str, within: float = 30) -> None:
        deadline = time.monotonic() + within
        while (await self.get(f"/executions/{execution_id}"))["status"] != status:
            assert time.monotonic() < deadline, f"never {status}"
            await asyncio.sleep(0.05)

    async def stream(self, execution_id: str, after: int | None = None) -> list[JsonObject]:
        """All events from `after` to the end, as the event stream tells them."""
        events: list[JsonObject] = []
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        async with self.http.stream("GET", f"/api/v1/executions/{execution_id}/events", headers=headers) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    events.append(json.loads(line[5:]))
        return events


@asynccontextmanager
async def run_product(
    settings: Settings,
    logs: Path,
    provider: FakeModelServer,
    *,
    composition: Composition = "one",
    workers: int = 1,
    **environment: str,
) -> AsyncGenerator[Product]:
    """Starts the product on the components and database that `settings` name, and stops it.

    `logs` is a directory that is there."""
    port = find_free()
    ports = {name: find_free() for name in SERVICES} if composition == "split" else {}
    given = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "APP_DATABASE_URL": settings.app_database_url.get_secret_value(),
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "CHROMA_URL": settings.chroma_url,
        "LLM_BASE_URL": provider.base_url,
        "LLM_API_KEY": "local-key",
        "QUARTERDECK_MASTER_KEYS": settings.master_keys.get_secret_value(),
        "QUARTERDECK_CACHE": str(settings.cache),
        "QUARTERDECK_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "QUARTERDECK_ALLOWED_HOSTS": provider.url.removeprefix("http://"),
        "QUARTERDECK_UPSTREAMS": json.dumps({name: f"http://127.0.0.1:{each}" for name, each in ports.items()}),
        "QUARTERDECK_LEASE_SECONDS": "4",
        # The tests sign up and ask far more often than a person would.
        "QUARTERDECK_RATE_LIMIT": "100000/minute",
        "QUARTERDECK_RATE_LIMIT_ANONYMOUS": "100000/minute",
        "QUARTERDECK_RATE_LIMIT_CREDENTIALS": "100000/minute",
        **environment,
    }
    web = one_process_each(port, ports, given, logs) if ports else one_process(port, given, logs)
    product = Product(f"http://127.0.0.1:{port}", given, logs, provider, web)
    try:
        await asyncio.gather(*(part.start() for part in web), *(product.start_worker() for _ in range(workers)))
        yield product
    finally:
        await product.stop()
