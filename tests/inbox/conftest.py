from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.inbox.module import SERVICE
from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform


@dataclass
class Desk:
    """Ada's inbox: items that wait in her ledger, and what the API says of them."""

    ledger: Seeder
    http: httpx.AsyncClient

    async def item(self, kind: str = "approval", request: Any = None, **values: Any) -> UUID:
        """One that an execution of its own waits for."""
        execution_id = values.pop("execution_id", None) or await self.ledger.execution(status="waiting")
        step_id = await self.ledger.step(execution_id, "ask", type="approval", status="waiting")
        return await self.ledger.wait(execution_id, step_id, kind, request=request or {}, **values)

    async def items(self, **params: Any) -> list[dict[str, Any]]:
        answer = await self.http.get("/api/v1/inbox", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def ids(self, **params: Any) -> list[UUID]:
        return [UUID(item["id"]) for item in await self.items(**params)]

    async def get(self, path: str, by: Account | None = None) -> Any:
        answer = await self.http.get(f"/api/v1/inbox{path}", headers=by.headers if by else None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, by: Account | None = None) -> httpx.Response:
        return await self.http.post(f"/api/v1/inbox{path}", json=body, headers=by.headers if by else None)

    async def respond(
        self, item_id: UUID, action: str, payload: Any = None, by: Account | None = None, **more: Any
    ) -> httpx.Response:
        return await self.post(f"/{item_id}/respond", {"action": action, "payload": payload, **more}, by)


@pytest.fixture
async def desk(platform: Platform, ada: Account) -> Desk:
    return Desk(Seeder(platform.resources, ada.tenant_id), await platform.client(SERVICE, ada))
