"""Starting workflows: what is accepted, what is refused, and what an accepted execution runs on."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from shared.database.tables.agents import Agent
from shared.database.tables.ledger import ExecutionRow
from shared.executions.snapshot import snapshot_agent_job
from shared.kit.ids import new_id
from shared.kit.json import dumps
from tests.workflows.conftest import TRIVIAL, Tenant, agent_graph


async def row(tenant: Tenant, execution_id: str) -> ExecutionRow:
    async with tenant.platform.resources.database.read(tenant.scope) as session:
        return (await session.scalars(select(ExecutionRow).where(ExecutionRow.id == UUID(execution_id)))).one()


async def test_an_execution_is_queued_with_a_snapshot(here: Tenant) -> None:
    agent = await here.agent(goal="Know {{ inputs.topic }}", tools=("calculator",), temperature=0.5, max_tokens=100)
    made = await here.workflow(agent_graph(agent, topic={"type": "string"}), name="Report")
    started = await here.http.post(f"/api/v1/workflows/{made['id']}/execute", json={"inputs": {"topic": "tides"}})
    assert started.status_code == 202
    execution = started.json()
    assert (execution["status"], execution["kind"], execution["name"]) == ("queued", "workflow", "Report")
    assert (execution["workflow_id"], execution["workflow_version"]) == (made["id"], 1)
    assert execution["inputs"] == {"topic": "tides"}
    stored = await row(here, execution["id"])
    assert stored.created_by == here.account.user_id
    assert stored.correlation_id == started.headers["x-correlation-id"]
    assert stored.spec == {
        "workflow_id": made["id"],
        "workflow_name": "Report",
        "version": 1,
        "graph": made["graph"],
        "agents": {
            str(agent): {
                "id": str(agent),
                "name": "writer",
                "role": "r",
                "goal": "Know tides",
                "templates": {"goal": "Know {{ inputs.topic }}"},
                "backstory": "b",
                "system_prompt": None,
                "model_id": str(here.model_id),
                "tools": ["calculator"],
                "approve_tools": [],
                "knowledge_base_ids": [],
                "knowledge": [],
                "max_iterations": 15,
                "temperature": 0.5,
                "max_tokens": 100,
                "allow_delegation": False,
            }
        },
        "models": {str(here.model_id): {"name": "Local model", "provider": "local"}},
        "tools": {},
    }


async def test_a_later_change_does_not_reach_an_accepted_execution(here: Tenant) -> None:
    agent = await here.agent()
    made = await here.workflow(agent_graph(agent))
    execution = await here.post(f"/workflows/{made['id']}/execute")
    async with here.platform.resources.database.write(here.scope) as session:
        await session.execute(update(Agent).where(Agent.id == agent).values(role="changed"))
    assert (await row(here, execution["id"])).spec["agents"][str(agent)]["role"] == "r"


async def test_defaults_are_filled_in_and_a_version_can_be_chosen(here: Tenant) -> None:
    made = await here.workflow()
    nodes = [{"id": "twice", "type": "transform", "config": {"expression": "0"}}]
    await here.http.put(
        f"/api/v1/workflows/{made['id']}", json={"name": "W", "graph": {**TRIVIAL, "nodes": nodes}, "version": 1}
    )
    latest = await here.post(f"/workflows/{made['id']}/execute", {})
    first = await here.post(f"/workflows/{made['id']}/execute", {"inputs": {"n": 4}, "version": 1})
    assert (latest["workflow_version"], latest["inputs"]) == (2, {"n": 1})
    assert (first["workflow_version"], first["inputs"]) == (1, {"n": 4})
    missing = await here.http.post(f"/api/v1/workflows/{made['id']}/execute", json={"version": 3})
    assert missing.json()["error"]["code"] == "version_not_found"


async def test_a_workflow_with_problems_does_not_start(here: Tenant) -> None:
    made = await here.workflow(agent_graph(new_id()))
    answer = await here.http.post(f"/api/v1/workflows/{made['id']}/execute", json={})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "workflow_invalid")
    assert [(d["field"], d["code"]) for d in error["details"]] == [("nodes.work.agent_id", "agent_unknown")]
    assert (await here.get(f"/workflows/{made['id']}/status"))["executions"]["queued"] == 0


async def test_wrong_inputs_start_nothing(here: Tenant) -> None:
    made = await here.workflow()
    answer = await here.http.post(f"/api/v1/workflows/{made['id']}/execute", json={"inputs": {"n": "x"}})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"][0]["field"]) == (422, "inputs_invalid", "inputs.n")


async def test_an_agents_text_that_cannot_be_made_of_the_inputs_starts_nothing(here: Tenant) -> None:
    agent = await here.agent(goal="{{ inputs.topic.size() + 1 }}")
    graph = agent_graph(agent)
    graph["inputs"] = {"type": "object", "properties": {"topic": {}}}
    made = await here.workflow(graph)
    assert made["valid"]
    for inputs in ({}, {"topic": 5}):
        answer = await here.http.post(f"/api/v1/workflows/{made['id']}/execute", json={"inputs": inputs})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "inputs_invalid")
        assert "agent 'writer'" in answer.json()["error"]["details"][0]["message"]


async def test_inputs_are_data_and_never_templates(here: Tenant) -> None:
    agent = await here.agent(goal="Know {{ inputs.topic }}")
    made = await here.workflow(agent_graph(agent, topic={"type": "string"}))
    hostile = "{{ execution.id }} \u2028 \x00"
    execution = await here.post(f"/workflows/{made['id']}/execute", {"inputs": {"topic": hostile}})
    goal = (await row(here, execution["id"])).spec["agents"][str(agent)]["goal"]
    assert goal == "Know {{ execution.id }} \u2028 \\u0000"


async def test_no_secret_gets_into_a_snapshot(here: Tenant) -> None:
    model = await here.model("gpt", settings={"base_url": "https://s3cr3t.test"}, api_key=b"s3cr3t-key")
    made = await here.workflow(agent_graph(await here.agent(model_id=model)))
    execution = await here.post(f"/workflows/{made['id']}/execute")
    assert "s3cr3t" not in dumps((await row(here, execution["id"])).spec)
    exported = await here.get(f"/workflows/{made['id']}/export")
    assert "s3cr3t" not in dumps(exported)


async def test_fifty_at_once_with_one_key_start_one_execution(here: Tenant, there: Tenant) -> None:
    made = await here.workflow()
    other = await there.workflow()

    async def start(tenant: Tenant, workflow: str, **inputs: Any) -> tuple[int, str]:
        answer = await tenant.http.post(
            f"/api/v1/workflows/{workflow}/execute", json={"inputs": inputs}, headers={"Idempotency-Key": "k"}
        )
        return answer.status_code, answer.json().get("id") or answer.json()["error"]["code"]

    answers = await asyncio.gather(*(start(here, made["id"], n=2) for _ in range(50)))
    assert {status for status, _ in answers} == {202}
    assert len({execution for _, execution in answers}) == 1
    assert await start(here, made["id"], n=3) == (409, "idempotency_mismatch")
    assert (await start(there, other["id"], n=2))[0] == 202
    assert (await here.get(f"/workflows/{made['id']}/status"))["executions"]["queued"] == 1


async def test_a_repeated_start_is_answered_even_when_it_could_no_longer_start(here: Tenant) -> None:
    agent = await here.agent()
    made = await here.workflow(agent_graph(agent))
    first = await here.post(f"/workflows/{made['id']}/execute", {}, **{"Idempotency-Key": "k"})
    async with here.platform.resources.database.write(here.scope) as session:
        await session.delete(await session.get_one(Agent, agent))
    again = await here.post(f"/workflows/{made['id']}/execute", {}, **{"Idempotency-Key": "k"})
    assert again["id"] == first["id"]
    assert (await here.http.post(f"/api/v1/workflows/{made['id']}/execute", json={})).status_code == 422


async def test_the_status_counts_and_shows_the_latest(here: Tenant) -> None:
    made = await here.workflow()
    status = await here.get(f"/workflows/{made['id']}/status")
    assert status["latest_execution"] is None
    assert set(status["executions"].values()) == {0}
    await here.post(f"/workflows/{made['id']}/execute")
    latest = await here.post(f"/workflows/{made['id']}/execute")
    status = await here.get(f"/workflows/{made['id']}/status")
    assert (status["latest_execution"]["id"], status["executions"]["queued"]) == (latest["id"], 2)


async def test_a_workflow_is_not_deleted_from_under_its_executions(here: Tenant) -> None:
    made = await here.workflow()
    execution = await here.post(f"/workflows/{made['id']}/execute")
    busy = await here.http.delete(f"/api/v1/workflows/{made['id']}")
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "workflow_busy")
    async with here.platform.resources.database.write(here.scope) as session:
        await session.execute(
            update(ExecutionRow).where(ExecutionRow.id == UUID(execution["id"])).values(status="succeeded")
        )
    assert (await here.http.delete(f"/api/v1/workflows/{made['id']}")).status_code == 204
    assert (await row(here, execution["id"])).workflow_id == UUID(made["id"])


@pytest.mark.parametrize("attempt", range(3))
async def test_starts_and_a_delete_at_once_leave_no_orphan(here: Tenant, attempt: int) -> None:
    made = await here.workflow()
    path = f"/api/v1/workflows/{made['id']}"
    answers = await asyncio.gather(
        *(here.http.post(f"{path}/execute", json={}) for _ in range(5)),
        here.http.delete(path),
        *(here.http.post(f"{path}/execute", json={}) for _ in range(5)),
    )
    *starts, deleted = [*answers[:5], *answers[6:], answers[5]]
    accepted = [answer for answer in starts if answer.status_code == 202]
    assert {answer.status_code for answer in starts} <= {202, 404}
    assert deleted.status_code == (409 if accepted else 204)


async def test_an_agent_alone_is_spared_the_inputs_it_was_written_for(here: Tenant) -> None:
    agent = await here.agent(role="{{ inputs.topic }} writer", goal="{{ not a template", backstory="{{ inputs.input }}")
    graph = agent_graph(agent, input={"type": "string"})
    async with here.platform.resources.database.read(here.scope) as session:
        snapshot = await snapshot_agent_job(session, graph, {"input": "hello"}, name="Test")
    texts = snapshot.spec["agents"][str(agent)]
    assert (texts["role"], texts["goal"], texts["backstory"]) == ("topic writer", "{{ not a template", "hello")
