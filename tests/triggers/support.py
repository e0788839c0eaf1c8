"""Triggers for tests, and deliveries to them as another system would send them."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from services.workflows.module import SERVICE
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.webhooks.signatures import sign
from tests.executions.support import LedgerView
from tests.workflows.conftest import Tenant

DAILY: dict[str, Any] = {"cron": "0 3 * * *", "time_zone": "Europe/Berlin", "inputs": {"n": 2}}


def schedule(**config: Any) -> dict[str, Any]:
    return {"name": "Nightly", "kind": "schedule", "schedule": {**DAILY, **config}}


def webhook(**config: Any) -> dict[str, Any]:
    return {"name": "From outside", "kind": "webhook", "webhook": config}


async def make(tenant: Tenant, body: dict[str, Any], workflow_id: str | None = None) -> dict[str, Any]:
    """A trigger, of a workflow that takes `{"n": integer}`."""
    workflow_id = workflow_id or (await tenant.workflow())["id"]
    return await tenant.post(f"/workflows/{workflow_id}/triggers", body)


@dataclass
class Sender:
    """Another system, which knows a webhook's URL and secret and nothing else of us."""

    http: httpx.AsyncClient
    path: str
    secret: str

    async def send(
        self,
        body: Any,
        *,
        id: str | None = None,
        at: datetime | None = None,
        secret: str | None = None,
        query: str = "",
        **headers: str,
    ) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = sign(secret or self.secret, id or new_id().hex, at or utcnow(), raw)
        return await self.http.post(self.path + query, content=raw, headers={**signed, **headers})


async def sender(tenant: Tenant, trigger: dict[str, Any]) -> Sender:
    """Of the webhook as it was answered when it was made."""
    stranger = await tenant.platform.client(SERVICE)
    url = trigger["url"]
    assert url.startswith(f"{tenant.platform.settings.public_url}/api/v1/hooks/")
    return Sender(stranger, url.removeprefix(tenant.platform.settings.public_url), trigger["secret"])


async def started(view: LedgerView, trigger: dict[str, Any]) -> list[dict[str, Any]]:
    """The executions of a trigger, in the order in which they were queued."""
    rows = await view.connection.fetch(
        "SELECT * FROM executions WHERE trigger_id = $1 ORDER BY id", UUID(trigger["id"])
    )
    return [dict(row) for row in rows]
