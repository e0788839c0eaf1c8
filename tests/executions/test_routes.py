from typing import Any
from uuid import UUID

import httpx
import pytest

from services.orchestration.module import SERVICE
from services.workflows.module import SERVICE as WORKFLOWS
from shared.kit.ids import new_id
from tests.executions.support import LedgerView
from tests.support.platform import Account, Platform

GRAPH = {
    "spec": 1,
    "inputs": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
    "nodes": [{"id": "shout", "type": "transform", "config": {"template": "{{ inputs.topic }}!"}}],
    "edges": [],
    "outputs": {"text": "nodes.shout.output"},
}


@pytest.fixture
async def http(platform: Platform, ada: Account) -> httpx.AsyncClient:
    return await platform.client(SERVICE, ada)


@pytest.fixture
async def workflow(platform: Platform, ada: Account) -> str:
    answer = await (await platform.client(WORKFLOWS, ada)).post("/api/v1/workflows", json={"name": "W", "graph": GRAPH})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def _start(http: httpx.AsyncClient, workflow: str, **headers: str) -> httpx.Response:
    body = {"workflow_id": workflow, "inputs": {"topic": "rivers"}}
    return await http.post("/api/v1/executions", json=body, headers=headers)


async def test_a_started_execution_is_answered_for_and_queued(
    http: httpx.AsyncClient, workflow: str, ada: Account, view: LedgerView
) -> None:
    answer = await _start(http, workflow)

    assert answer.status_code == 202
    shown = answer.json()
    assert shown["status"] == "queued"
    assert (shown["workflow_id"], shown["workflow_version"], shown["name"]) == (workflow, 1, "W")
    assert shown["inputs"] == {"topic": "rivers"}
    assert (shown["cost"], shown["duration_ms"], shown["output"]) == ("0", None, None)
    stored = await view.execution(UUID(shown["id"]))
    assert stored["tenant_id"] == ada.tenant_id
    assert stored["created_by"] == ada.user_id
    assert stored["spec"]["graph"]["nodes"][0]["id"] == "shout"
    assert stored["correlation_id"] == answer.headers["X-Correlation-Id"]


async def test_the_same_idempotency_key_starts_one(http: httpx.AsyncClient, workflow: str) -> None:
    key = {"Idempotency-Key": new_id().hex}
    first = await _start(http, workflow, **key)
    second = await _start(http, workflow, **key)
    other = await http.post("/api/v1/executions", json={"workflow_id": workflow, "inputs": {"topic": "x"}}, headers=key)

    assert first.json() == second.json()
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")


async def test_a_trigger_s_key_is_nobody_else_s(http: httpx.AsyncClient, workflow: str) -> None:
    answer = await _start(http, workflow, **{"Idempotency-Key": "schedule:0195d8d4-0000-7000-8000-000000000000:x"})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == "header.Idempotency-Key"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"workflow_id": str(new_id())}, 404, "workflow_not_found"),
        ({"workflow_id": "x"}, 422, "invalid"),
        ({"version": 9}, 404, "version_not_found"),
        ({"version": 0}, 422, "invalid"),
        ({"version": 2**40}, 422, "invalid"),
        ({"inputs": {}}, 422, "inputs_invalid"),
        ({"inputs": {"topic": 7}}, 422, "inputs_invalid"),
        ({"inputs": []}, 422, "invalid"),
        ({"tenant_id": str(new_id())}, 422, "invalid"),
    ],
)
async def test_bad_input_starts_nothing(
    http: httpx.AsyncClient,
    workflow: str,
    ada: Account,
    view: LedgerView,
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    answer = await http.post(
        "/api/v1/executions", json={"workflow_id": workflow, "inputs": {"topic": "rivers"}, **change}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    count = await view.connection.fetchval("SELECT count(*) FROM executions WHERE tenant_id = $1", ada.tenant_id)
    assert count == 0


async def test_odd_text_in_the_inputs_is_no_fault(http: httpx.AsyncClient, workflow: str) -> None:
    body = f'{{"workflow_id": "{workflow}", "inputs": {{"topic": "a\\u0000b\\ud800"}}}}'
    answer = await http.post("/api/v1/executions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["inputs"] == {"topic": "a\\u0000b\\ud800"}


async def test_cancel_ends_a_queued_execution_once(http: httpx.AsyncClient, workflow: str) -> None:
    id_ = (await _start(http, workflow)).json()["id"]

    cancelled = await http.post(f"/api/v1/executions/{id_}/cancel")
    again = await http.post(f"/api/v1/executions/{id_}/cancel")

    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert cancelled.json()["duration_ms"] is None
    assert (again.status_code, again.json()["error"]["code"]) == (409, "execution_ended")


async def test_a_pause_holds_what_is_queued_until_it_is_resumed(http: httpx.AsyncClient, workflow: str) -> None:
    id_ = (await _start(http, workflow)).json()["id"]

    early = await http.post(f"/api/v1/executions/{id_}/resume")
    paused = await http.post(f"/api/v1/executions/{id_}/pause")
    again = await http.post(f"/api/v1/executions/{id_}/pause")
    resumed = await http.post(f"/api/v1/executions/{id_}/resume")

    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_paused")
    assert (paused.status_code, paused.json()["status"]) == (202, "paused")
    assert again.json() == paused.json()
    assert (resumed.json()["status"], resumed.json()["pause_requested_at"]) == ("queued", None)
    assert (await http.post(f"/api/v1/executions/{id_}/cancel")).status_code == 202
    for control in ("pause", "resume"):
        refused = await http.post(f"/api/v1/executions/{id_}/{control}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "execution_ended")


async def test_what_is_anothers_is_not_there(
    platform: Platform, bob: Account, http: httpx.AsyncClient, workflow: str
) -> None:
    id_ = (await _start(http, workflow)).json()["id"]
    foreign = await platform.client(SERVICE, bob)

    assert (await _start(foreign, workflow)).json()["error"]["code"] == "workflow_not_found"
    for control in ("cancel", "pause", "resume"):
        assert (await foreign.post(f"/api/v1/executions/{id_}/{control}")).status_code == 404
    assert (await http.post(f"/api/v1/executions/{id_}/cancel")).status_code == 202


async def test_who_may_only_look_starts_and_stops_nothing(
    platform: Platform, ada: Account, http: httpx.AsyncClient, workflow: str
) -> None:
    id_ = (await _start(http, workflow)).json()["id"]
    viewer = await platform.client(SERVICE, await platform.join(ada, "viewer"))
    stranger = await platform.client(SERVICE)

    for client, status in ((viewer, 403), (stranger, 401)):
        assert (await _start(client, workflow)).status_code == status
        for control in ("cancel", "pause", "resume"):
            assert (await client.post(f"/api/v1/executions/{id_}/{control}")).status_code == status
    assert (await http.post(f"/api/v1/executions/{id_}/cancel")).status_code == 202
