from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from tests.agents.conftest import Things
from tests.agents.test_agents import AGENTS, body, make
from tests.support.platform import Account, Platform


async def stored(platform: Platform, account: Account, execution_id: str) -> ExecutionRow:
    async with platform.resources.database.read(Scope(account.tenant_id)) as session:
        row = await session.scalar(select(ExecutionRow).where(ExecutionRow.id == UUID(execution_id)))
        assert row is not None
        return row


async def test_a_test_is_an_execution_of_the_agent_alone(
    platform: Platform, client: httpx.AsyncClient, ada: Account, things: Things
) -> None:
    model, base = await things.model(ada, name="Scripted"), await things.knowledge_base(ada)
    kept = await make(
        client, ada, model, tools=["calculator"], knowledge_base_ids=[str(base)], goal="Know {{ inputs.topic }}"
    )
    editor = await platform.join(ada, "editor")

    answer = await client.post(f"{AGENTS}/{kept['id']}/test", json={"input": "What is 6*7?"}, headers=editor.headers)

    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert (accepted["kind"], accepted["status"], accepted["agent_id"]) == ("agent_job", "queued", kept["id"])
    assert accepted["created_by"] == str(editor.user_id)
    row = await stored(platform, ada, accepted["id"])
    assert row.inputs == {"input": "What is 6*7?"}
    assert row.spec["models"] == {str(model): {"name": "Scripted", "provider": "openai_compatible"}}
    agent = row.spec["agents"][kept["id"]]
    assert (agent["tools"], agent["knowledge_base_ids"]) == (["calculator"], [str(base)])
    assert agent["goal"] == "Know topic"
    [node] = row.spec["graph"]["nodes"]
    assert (node["type"], node["config"]["agent_id"]) == ("agent_task", kept["id"])
    assert set(row.spec["graph"]["outputs"]) == {"text", "citations"}


async def test_later_changes_do_not_reach_it(
    platform: Platform, client: httpx.AsyncClient, ada: Account, things: Things
) -> None:
    model = await things.model(ada)
    kept = await make(client, ada, model, role="Before")
    started = await client.post(f"{AGENTS}/{kept['id']}/test", json={"input": "Hello"}, headers=ada.headers)
    await client.put(f"{AGENTS}/{kept['id']}", json=body(model, role="After"), headers=ada.headers)

    assert (await client.delete(f"{AGENTS}/{kept['id']}", headers=ada.headers)).status_code == 204

    row = await stored(platform, ada, started.json()["id"])
    assert row.spec["agents"][kept["id"]]["role"] == "Before"


async def test_the_same_key_gives_the_same_execution(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    kept = await make(client, ada, await things.model(ada))
    path, headers = f"{AGENTS}/{kept['id']}/test", ada.headers | {"Idempotency-Key": "try-1"}

    first = await client.post(path, json={"input": "Hello"}, headers=headers)
    again = await client.post(path, json={"input": "Hello"}, headers=headers)
    other = await client.post(path, json={"input": "Bye"}, headers=headers)

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")


@pytest.mark.parametrize(
    "request_body", [{}, {"input": ""}, {"input": "   "}, {"input": 3}, {"input": "x" * 20_001}, {"input": "x", "y": 1}]
)
async def test_input_that_cannot_be(
    client: httpx.AsyncClient, ada: Account, things: Things, request_body: dict[str, Any]
) -> None:
    kept = await make(client, ada, await things.model(ada))
    answer = await client.post(f"{AGENTS}/{kept['id']}/test", json=request_body, headers=ada.headers)
    assert answer.status_code == 422


async def test_templates_in_the_input_stay_words(
    platform: Platform, client: httpx.AsyncClient, ada: Account, things: Things
) -> None:
    kept = await make(client, ada, await things.model(ada))
    words = "{{ inputs.input }} {role} {{ 1 + }}"

    started = await client.post(f"{AGENTS}/{kept['id']}/test", json={"input": words}, headers=ada.headers)

    assert (await stored(platform, ada, started.json()["id"])).inputs == {"input": words}
