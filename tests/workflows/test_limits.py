"""How many executions of a workflow run at once, and which come first."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from services.orchestration.module import SERVICE as ORCHESTRATION
from shared.database.tables.ledger import ExecutionRow
from tests.workflows.conftest import TRIVIAL, Tenant


async def keys(here: Tenant, workflow: str) -> list[UUID | None]:
    statement = select(ExecutionRow.concurrency_key).where(ExecutionRow.workflow_id == UUID(workflow))
    async with here.platform.resources.database.read(here.scope) as session:
        return list(await session.scalars(statement.order_by(ExecutionRow.id)))


async def limit(here: Tenant, workflow: dict[str, Any], max_running: int | None) -> None:
    body = {"name": "W", "graph": TRIVIAL, "version": 1, "max_running": max_running}
    answer = await here.http.put(f"/api/v1/workflows/{workflow['id']}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["max_running"] == max_running


async def test_a_limit_holds_for_what_is_queued_already(here: Tenant) -> None:
    made = await here.workflow()
    other = await here.workflow()
    assert made["max_running"] is None
    own = UUID(made["id"])
    for workflow in (made, made, other):
        await here.post(f"/workflows/{workflow['id']}/execute")
    assert await keys(here, made["id"]) == [None, None]

    await limit(here, made, 2)
    await here.post(f"/workflows/{made['id']}/execute")
    assert await keys(here, made["id"]) == [own, own, own]
    assert await keys(here, other["id"]) == [None]

    await limit(here, made, 5)
    assert await keys(here, made["id"]) == [own, own, own]
    await limit(here, made, None)
    await here.post(f"/workflows/{made['id']}/execute")
    assert await keys(here, made["id"]) == [None] * 4


async def test_a_limit_is_copied_and_checked(here: Tenant) -> None:
    made = await here.post("/workflows", {"name": "W", "graph": TRIVIAL, "max_running": 3})
    assert (await here.post(f"/workflows/{made['id']}/clone"))["max_running"] == 3
    assert (await here.get(f"/workflows/{made['id']}"))["max_running"] == 3
    for wrong in (0, -1, 10_001, "many"):
        answer = await here.http.post("/api/v1/workflows", json={"name": "W", "graph": TRIVIAL, "max_running": wrong})
        assert answer.status_code == 422


@pytest.mark.parametrize("priority", [-10, 0, 10])
async def test_an_execution_is_started_with_a_priority_and_given_another(here: Tenant, priority: int) -> None:
    made = await here.workflow()
    execution = await here.post(f"/workflows/{made['id']}/execute", {"priority": priority})
    assert execution["priority"] == priority
    orchestration = await here.platform.client(ORCHESTRATION, here.account)
    path = f"/api/v1/executions/{execution['id']}"
    changed = await orchestration.patch(path, json={"priority": -priority})
    assert (changed.status_code, changed.json()["priority"]) == (200, -priority)
    viewer = await here.platform.join(here.account, "viewer")
    refused = await orchestration.patch(path, json={"priority": 1}, headers=viewer.headers)
    assert refused.status_code == 403


async def test_the_same_key_with_another_priority_is_another_request(here: Tenant) -> None:
    made = await here.workflow()
    path = f"/api/v1/workflows/{made['id']}/execute"
    key = {"Idempotency-Key": "k"}
    first = await here.http.post(path, json={}, headers=key)
    same = await here.http.post(path, json={"priority": 0}, headers=key)
    other = await here.http.post(path, json={"priority": 1}, headers=key)
    assert same.json()["id"] == first.json()["id"]
    assert other.json()["error"]["code"] == "idempotency_mismatch"
