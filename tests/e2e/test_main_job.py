"""The product's main job through the public API alone, in both compositions."""

import asyncio

import httpx
import pytest

from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client, Product

pytestmark = pytest.mark.e2e


async def test_a_crew_runs_from_definition_to_analytics(ada: Client, provider: FakeModelServer) -> None:
    workflow = await ada.crew("Researcher", "Writer", "Reviewer")

    execution = await ada.finished(await ada.execute(workflow, {"topic": "tides"}))

    assert execution["status"] == "succeeded", execution["error"]
    assert execution["output"]["text"]
    asked = provider.journal()
    assert len(asked) == 3
    assert all(request["headers"]["authorization"] == "Bearer sk-canary-0123456789" for request in asked)
    assert "tides" in str(asked[0]["body"]["messages"])
    calls = (await ada.get(f"/executions/{execution['id']}/calls"))["items"]
    assert [call["kind"] for call in calls] == ["llm"] * 3
    assert "sk-canary" not in str(calls) + str(execution)
    summary = await ada.get("/analytics/summary")
    assert summary["executions"]["by_status"]["succeeded"] == 1


async def test_the_stream_is_gapless_and_can_be_taken_up_again(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"latency_ms": 100, "chunks": 10, "chunk_delay_ms": 30})
    workflow = await ada.crew("Writer", "Reviewer")
    execution_id = await ada.execute(workflow, {"topic": "tides"})

    events = await ada.stream(execution_id)

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    assert types[-1] == "done"
    assert {"execution.status", "step.started", "message.delta", "usage", "step.finished"} <= set(types)
    assert types.index("message.delta") < types.index("step.finished"), "text comes while the step runs"
    for after in (0, 3, len(events) - 1):
        assert await ada.stream(execution_id, after=after) == events[after:]


async def test_cancel_stops_a_running_crew_within_five_seconds(ada: Client, provider: FakeModelServer) -> None:
    provider.script({"latency_ms": 60_000})
    execution_id = await ada.execute(await ada.crew("Writer"), {"topic": "tides"})
    await ada.until(execution_id, "running")

    await ada.post(f"/executions/{execution_id}/cancel")

    execution = await ada.finished(execution_id, within=5)
    assert execution["status"] == "cancelled"
    assert [event["type"] for event in await ada.stream(execution_id)][-1] == "done"


async def test_branches_conditions_and_dead_paths(ada: Client) -> None:
    graph = {
        "spec": 1,
        "inputs": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        "nodes": [
            {
                "id": "size",
                "type": "condition",
                "name": "Size",
                "config": {"cases": [{"name": "big", "when": "inputs.n > 10"}], "default": "small"},
            },
            {"id": "big", "type": "transform", "name": "Big", "config": {"expression": "'big'"}},
            {"id": "small", "type": "transform", "name": "Small", "config": {"template": "small: {{ inputs.n }}"}},
            {"id": "side", "type": "transform", "name": "Side", "config": {"expression": "inputs.n * 2"}},
            {"id": "end", "type": "output", "name": "End", "config": {"values": {"twice": "nodes.side.output"}}},
        ],
        "edges": [
            {"from": "size", "to": "big", "port": "big"},
            {"from": "size", "to": "small", "port": "small"},
            {"from": "big", "to": "end"},
            {"from": "small", "to": "end"},
            {"from": "side", "to": "end"},
        ],
        "outputs": {},
    }
    workflow = await ada.workflow(graph)

    execution = await ada.finished(await ada.execute(workflow, {"n": 3}))

    assert execution["status"] == "succeeded", execution["error"]
    assert execution["output"] == {"twice": 6}
    states = {step["node"]: step["status"] for step in execution["steps"]}
    assert states == {
        "size": "succeeded", "big": "skipped", "small": "succeeded", "side": "succeeded", "end": "succeeded",
    }  # fmt: skip


async def test_wrong_inputs_start_nothing(ada: Client) -> None:
    workflow = await ada.crew("Writer")

    answer = await ada.http.post(f"/api/v1/workflows/{workflow}/execute", json={"inputs": {"topic": 7}})

    assert answer.status_code == 422
    assert "topic" in str(answer.json()["error"]["details"])
    assert (await ada.get("/executions"))["items"] == []


async def test_the_same_idempotency_key_is_the_same_execution(ada: Client) -> None:
    workflow = await ada.crew("Writer")
    headers = {"Idempotency-Key": "order-1"}

    ids = await asyncio.gather(*(ada.execute(workflow, {"topic": "t"}, **headers) for _ in range(20)))
    other = await ada.http.post(
        f"/api/v1/workflows/{workflow}/execute", json={"inputs": {"topic": "u"}}, headers=headers
    )

    assert len(set(ids)) == 1
    assert other.status_code == 409


async def test_knowledge_is_uploaded_ingested_found_and_forgotten(ada: Client) -> None:
    base = (await ada.post("/knowledge-bases", {"name": "Harbour"}))["id"]
    files = [
        ("files", ("tides.md", b"# Tides\n\nHigh water at Dover is at noon on Fridays.", "text/markdown")),
        ("files", ("broken.pdf", b"%PDF-1.7 this is no PDF", "application/pdf")),
        ("files", ("pilots.txt", b"The harbour pilot is called Marlow.", "text/plain")),
    ]
    answer = await ada.http.post(f"/api/v1/knowledge-bases/{base}/documents", files=files)
    assert answer.status_code in (201, 202, 207), answer.text

    async def documents() -> dict[str, dict[str, object]]:
        listed = (await ada.get(f"/knowledge-bases/{base}/documents"))["items"]
        return {item["name"]: item for item in listed}

    async with asyncio.timeout(60):
        while {d["status"] for d in (await documents()).values()} - {"ready", "failed"}:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    found = await documents()
    assert found["tides.md"]["status"] == found["pilots.txt"]["status"] == "ready"
    if "broken.pdf" in found:
        assert found["broken.pdf"]["status"] == "failed"
        assert found["broken.pdf"]["error"]

    query = {"knowledge_base_ids": [base], "query": "who is the harbour pilot?", "top_k": 1, "mode": "vector"}
    passage = (await ada.post("/knowledge-bases/query", query))["passages"][0]
    assert "Marlow" in passage["text"]
    assert 0 < passage["score"] <= 1

    gone = await ada.http.delete(f"/api/v1/documents/{found['pilots.txt']['id']}")
    assert gone.status_code == 204
    left = (await ada.post("/knowledge-bases/query", query))["passages"]
    assert all("Marlow" not in p["text"] for p in left)


async def test_a_stranger_gets_401_and_no_hint(product: Product) -> None:
    async with httpx.AsyncClient(base_url=product.url) as stranger:
        forged = {"X-User-Id": "1", "X-Tenant-Id": "1", "X-Forwarded-User": "admin"}
        for path in ("/api/v1/models", "/api/v1/executions", "/api/v1/workflows", "/api/v1/users/me"):
            answer = await stranger.get(path, headers=forged)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "not_authenticated"
            assert answer.json()["error"]["correlation_id"] == answer.headers["x-correlation-id"]
