from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from services.workflows.module import SERVICE
from shared.agents.creation import NewAgent, add_agents
from shared.auth.permissions import PERMISSIONS, Role
from shared.auth.principal import Principal
from shared.database.session import Scope
from shared.database.tables.models import Model
from shared.kit.ids import new_id
from tests.support.platform import Account, Platform


@dataclass
class Tenant:
    """An account with a client of the workflows service, and with what workflows refer to."""

    platform: Platform
    account: Account
    http: httpx.AsyncClient
    model_id: UUID

    @property
    def scope(self) -> Scope:
        return Scope(self.account.tenant_id, self.account.user_id)

    async def get(self, path: str, **params: Any) -> Any:
        return _answer(await self.http.get(f"/api/v1{path}", params=params))

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return _answer(await self.http.post(f"/api/v1{path}", json=body, headers=headers))

    async def agent(self, name: str = "writer", **fields: Any) -> UUID:
        about = {"role": "r", "goal": "g", "backstory": "b", "model_id": self.model_id, **fields}
        caller = Principal(self.account.user_id, self.account.tenant_id, Role.OWNER, PERMISSIONS[Role.OWNER])
        async with self.platform.resources.database.write(self.scope) as session:
            return (await add_agents(session, caller, [NewAgent(name=name, **about)]))[0]

    async def model(self, name: str, **fields: Any) -> UUID:
        about = {"provider": "openai", "model": name, "settings": {}, "context_window": 8192, "supports_tools": True}
        model = Model(id=new_id(), tenant_id=self.account.tenant_id, name=name, **{**about, **fields})
        async with self.platform.resources.database.write(self.scope) as session:
            session.add(model)
        return model.id

    async def workflow(self, graph: dict[str, Any] | None = None, name: str = "W") -> dict[str, Any]:
        return await self.post("/workflows", {"name": name, "graph": graph or TRIVIAL})


def _answer(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


# Runs without any agent.
TRIVIAL: dict[str, Any] = {
    "spec": 1,
    "inputs": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
    "nodes": [{"id": "twice", "type": "transform", "config": {"expression": "inputs.n * 2"}}],
    "edges": [],
    "outputs": {"twice": "nodes.twice.output"},
}


def agent_graph(agent_id: UUID, **inputs: Any) -> dict[str, Any]:
    config = {"agent_id": str(agent_id), "description": "Do it", "expected_output": "It is done"}
    return {
        "spec": 1,
        "inputs": {"type": "object", "properties": inputs, "required": list(inputs)},
        "nodes": [{"id": "work", "type": "agent_task", "config": config}],
        "edges": [],
        "outputs": {"text": "nodes.work.output.text"},
    }


async def _tenant(platform: Platform, account: Account) -> Tenant:
    client = await platform.client(SERVICE, account)
    async with platform.resources.database.read(Scope(account.tenant_id, account.user_id)) as session:
        model_id = (await session.scalars(select(Model.id))).one()
    return Tenant(platform, account, client, model_id)


@pytest.fixture
async def here(platform: Platform, ada: Account) -> Tenant:
    return await _tenant(platform, ada)


@pytest.fixture
async def there(platform: Platform, bob: Account) -> Tenant:
    """Another tenant, which must see nothing of the first."""
    return await _tenant(platform, bob)
