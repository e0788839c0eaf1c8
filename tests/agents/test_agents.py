import json
import math
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from shared.database.session import Scope
from shared.database.tables.workflows import Workflow, WorkflowVersion
from shared.kit.ids import new_id
from tests.agents.conftest import Things
from tests.support.platform import Account, Platform

# The same in every process that collects these tests.
SOME_ID = "0189d6ab-5d5f-7d3c-8f5e-0123456789ab"
AGENTS = "/api/v1/agents"


def body(model_id: UUID, **changes: Any) -> dict[str, Any]:
    return {
        "name": "Researcher",
        "role": "Senior researcher",
        "goal": "Find out about {{ inputs.topic }}",
        "model_id": str(model_id),
    } | changes


async def make(client: httpx.AsyncClient, account: Account, model_id: UUID, **changes: Any) -> dict[str, Any]:
    answer = await client.post(AGENTS, json=body(model_id, **changes), headers=account.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def problems(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {detail["field"]: detail["code"] for detail in answer.json()["error"]["details"]}


# --- keeping -------------------------------------------------------------------------------------------------


async def test_an_agent_is_kept_as_it_was_given(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    model, base = await things.model(ada), await things.knowledge_base(ada)
    given = body(
        model,
        name="  Researcher ",
        description="Finds things out",
        backstory="Long in the trade",
        system_prompt="You are {role}.",
        tools=["calculator", "knowledge_search", "calculator"],
        knowledge_base_ids=[str(base), str(base)],
        temperature=0.2,
        max_tokens=500,
        max_iterations=5,
        allow_delegation=True,
        suggested_prompts=["What is new?"],
    )

    created = await client.post(AGENTS, json=given, headers=ada.headers)
    fetched = await client.get(f"{AGENTS}/{created.json()['id']}", headers=ada.headers)

    assert created.status_code == 201
    assert fetched.json() == created.json()
    kept = created.json()
    expected = given | {
        "name": "Researcher",
        "tools": ["calculator", "knowledge_search"],
        "knowledge_base_ids": [str(base)],
    }
    assert {name: kept[name] for name in expected} == expected
    assert (kept["version"], kept["created_by"]) == (1, str(ada.user_id))


async def test_little_is_asked_for(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    kept = await make(client, ada, await things.model(ada))
    assert (kept["tools"], kept["knowledge_base_ids"], kept["max_iterations"]) == ([], [], 15)
    assert (kept["temperature"], kept["max_tokens"], kept["system_prompt"]) == (None, None, None)


async def test_an_update_replaces_everything(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    model, other = await things.model(ada), await things.model(ada)
    first, second = await things.knowledge_base(ada), await things.knowledge_base(ada)
    kept = await make(client, ada, model, tools=["calculator"], knowledge_base_ids=[str(first)], temperature=1)

    answer = await client.put(
        f"{AGENTS}/{kept['id']}",
        json=body(other, name="Writer", knowledge_base_ids=[str(second)]),
        headers=ada.headers,
    )

    changed = answer.json()
    assert answer.status_code == 200
    assert (changed["name"], changed["model_id"], changed["version"]) == ("Writer", str(other), 2)
    assert (changed["tools"], changed["knowledge_base_ids"], changed["temperature"]) == ([], [str(second)], None)
    assert changed["created_at"] == kept["created_at"]
    assert changed["updated_at"] > kept["updated_at"]


async def test_only_tools_that_an_agent_has_can_need_approval(
    client: httpx.AsyncClient, ada: Account, things: Things
) -> None:
    model = await things.model(ada)
    wanted = body(model, tools=["calculator"], approve_tools=["calculator", "knowledge_search", "shell"])
    refused = await client.post(AGENTS, json=wanted, headers=ada.headers)
    assert problems(refused) == {"approve_tools.1": "tool_not_given", "approve_tools.2": "tool_not_given"}


async def test_a_refused_update_changes_nothing(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    kept = await make(client, ada, await things.model(ada))

    refused = await client.put(f"{AGENTS}/{kept['id']}", json=body(uuid4(), name="Writer"), headers=ada.headers)

    assert problems(refused) == {"model_id": "model_unknown"}
    assert (await client.get(f"{AGENTS}/{kept['id']}", headers=ada.headers)).json() == kept


async def test_a_clone_is_an_agent_of_its_own(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    base = await things.knowledge_base(ada)
    kept = await make(
        client,
        ada,
        await things.model(ada),
        name="N" * 200,
        tools=["calculator"],
        approve_tools=["calculator", "knowledge_search"],
        knowledge_base_ids=[str(base)],
        suggested_prompts=["Hello"],
    )
    assert kept["approve_tools"] == ["calculator", "knowledge_search"]
    editor = await client.post(f"{AGENTS}/{kept['id']}/clone", headers=ada.headers)
    named = await client.post(f"{AGENTS}/{kept['id']}/clone", json={"name": "Twin"}, headers=ada.headers)

    copy = editor.json()
    assert (editor.status_code, named.status_code) == (201, 201)
    assert copy["id"] != kept["id"]
    assert copy["name"] == "N" * 190 + " (copy)"
    assert named.json()["name"] == "Twin"
    own = {"id", "name", "created_at", "updated_at"}
    assert {k: v for k, v in copy.items() if k not in own} == {k: v for k, v in kept.items() if k not in own}


# --- taking away ---------------------------------------------------------------------------------------------


async def test_a_deleted_agent_is_gone(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    kept = await make(client, ada, await things.model(ada), knowledge_base_ids=[str(await things.knowledge_base(ada))])
    path = f"{AGENTS}/{kept['id']}"

    assert (await client.delete(path, headers=ada.headers)).status_code == 204

    for method, sent in (("GET", None), ("DELETE", None), ("PUT", body(uuid4())), ("POST", {})):
        at = f"{path}/clone" if method == "POST" else path
        gone = await client.request(method, at, json=sent, headers=ada.headers)
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "agent_not_found"), method


def crew_graph(**config: Any) -> dict[str, Any]:
    return {"spec": 1, "nodes": [{"id": "other", "config": {"agent_id": str(uuid4())}}, {"id": "n", "config": config}]}


@pytest.mark.parametrize("place", ["agent_id", "agent_ids", "manager_agent_id", "tasks"])
async def test_an_agent_in_a_workflow_stays(
    platform: Platform, client: httpx.AsyncClient, ada: Account, things: Things, place: str
) -> None:
    kept = await make(client, ada, await things.model(ada))
    value = {"agent_ids": [str(uuid4()), kept["id"]], "tasks": [{"agent_id": kept["id"]}]}.get(place, kept["id"])
    used = await workflow(platform, ada, "Weekly report", crew_graph(**{place: value}))

    refused = await client.delete(f"{AGENTS}/{kept['id']}", headers=ada.headers)

    assert refused.status_code == 409
    error = refused.json()["error"]
    assert error["code"] == "agent_in_use"
    assert [(d["field"], d["message"]) for d in error["details"]] == [(f"workflows.{used}", "Weekly report")]


async def test_what_only_an_earlier_version_uses_can_go(
    platform: Platform, client: httpx.AsyncClient, ada: Account, things: Things
) -> None:
    kept = await make(client, ada, await things.model(ada))
    await workflow(platform, ada, "Report", crew_graph(agent_id=kept["id"]), crew_graph(description=kept["id"]))

    assert (await client.delete(f"{AGENTS}/{kept['id']}", headers=ada.headers)).status_code == 204


async def workflow(platform: Platform, account: Account, name: str, *versions: dict[str, Any]) -> UUID:
    row = Workflow(id=new_id(), tenant_id=account.tenant_id, name=name, latest_version=len(versions))
    async with platform.resources.database.write(Scope(account.tenant_id, account.user_id)) as session:
        session.add(row)
        await session.flush()
        for number, graph in enumerate(versions, start=1):
            session.add(WorkflowVersion(tenant_id=account.tenant_id, workflow_id=row.id, version=number, graph=graph))
    return row.id


# --- what is wrong with it -----------------------------------------------------------------------------------


async def test_everything_that_is_wrong_is_named(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    model, base = await things.model(ada, context_window=1_000), await things.knowledge_base(ada)
    wrong = body(
        model,
        goal="{{ inputs.",
        backstory="{{ nodes.a.output }} {{ inputs.x }}",
        max_tokens=1_000,
        tools=["calculator", "shell"],
        knowledge_base_ids=[str(base), str(uuid4())],
    )

    assert problems(await client.post(AGENTS, json=wrong, headers=ada.headers)) == {
        "goal": "template_invalid",
        "backstory": "template_invalid",
        "max_tokens": "max_tokens_too_large",
        "tools.1": "tool_unknown",
        "knowledge_base_ids.1": "knowledge_base_unknown",
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"name": "half \ud800"}, "name"),
        ({"role": ""}, "role"),
        ({"role": "x" * 20_001}, "role"),
        ({"goal": None}, "goal"),
        ({"system_prompt": ""}, "system_prompt"),
        ({"model_id": "mine"}, "model_id"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "NaN"}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"max_iterations": 101}, "max_iterations"),
        ({"tools": ["calculator"] * 51}, "tools"),
        ({"tools": "calculator"}, "tools"),
        ({"knowledge_base_ids": ["x"]}, "knowledge_base_ids.0"),
        ({"suggested_prompts": ["x" * 501]}, "suggested_prompts.0"),
        ({"tenant_id": str(uuid4())}, "tenant_id"),
        ({"created_by": str(uuid4())}, "created_by"),
        ({"version": 7}, "version"),
    ],
)
async def test_a_field_that_cannot_be(
    client: httpx.AsyncClient, ada: Account, things: Things, changes: dict[str, Any], field: str
) -> None:
    # The standard library writes NaN and Infinity, which a client may send and JSON does not have.
    content = json.dumps(body(await things.model(ada)) | changes)
    headers = ada.headers | {"Content-Type": "application/json"}
    assert list(problems(await client.post(AGENTS, content=content, headers=headers))) == [field]


# --- whose they are ------------------------------------------------------------------------------------------


async def test_another_tenant_sees_and_reaches_nothing(
    client: httpx.AsyncClient, ada: Account, bob: Account, things: Things
) -> None:
    kept = await make(client, ada, await things.model(ada))
    path = f"{AGENTS}/{kept['id']}"
    bobs_model = await things.model(bob)

    answers = [
        await client.get(path, headers=bob.headers),
        await client.put(path, json=body(bobs_model), headers=bob.headers),
        await client.delete(path, headers=bob.headers),
        await client.post(f"{path}/clone", headers=bob.headers),
        await client.post(f"{path}/test", json={"input": "hello"}, headers=bob.headers),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5
    assert (await client.get(AGENTS, headers=bob.headers)).json()["items"] == []
    assert (await client.get(path, headers=ada.headers)).json() == kept


async def test_another_tenants_things_cannot_be_attached(
    client: httpx.AsyncClient, ada: Account, bob: Account, things: Things
) -> None:
    model, base = await things.model(ada), await things.knowledge_base(ada)
    stolen = body(model, knowledge_base_ids=[str(base)])

    assert problems(await client.post(AGENTS, json=stolen, headers=bob.headers)) == {
        "model_id": "model_unknown",
        "knowledge_base_ids.0": "knowledge_base_unknown",
    }


async def test_roles_bound_what_may_be_done(
    platform: Platform, client: httpx.AsyncClient, ada: Account, things: Things
) -> None:
    model = await things.model(ada)
    kept = await make(client, ada, model)
    path = f"{AGENTS}/{kept['id']}"
    viewer, editor = await platform.join(ada, "viewer"), await platform.join(ada, "editor")

    for method, at, sent in (
        ("POST", AGENTS, body(model)),
        ("PUT", path, body(model)),
        ("DELETE", path, None),
        ("POST", f"{path}/clone", {}),
        ("POST", f"{path}/test", {"input": "hello"}),
    ):
        refused = await client.request(method, at, json=sent, headers=viewer.headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed"), (method, at)
    for at in (AGENTS, path, f"{AGENTS}/tools"):
        assert (await client.get(at, headers=viewer.headers)).status_code == 200
    assert (await client.put(path, json=body(model, name="Edited"), headers=editor.headers)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/tools"),
        ("GET", f"/{SOME_ID}"),
        ("PUT", f"/{SOME_ID}"),
        ("DELETE", f"/{SOME_ID}"),
        ("POST", f"/{SOME_ID}/clone"),
        ("POST", f"/{SOME_ID}/test"),
    ],
)
async def test_nothing_without_signing_in(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await client.request(method, AGENTS + path, json={})).status_code == 401


# --- tools ---------------------------------------------------------------------------------------------------


async def test_the_built_in_tools_are_listed(client: httpx.AsyncClient, ada: Account) -> None:
    answer = (await client.get(f"{AGENTS}/tools", headers=ada.headers)).json()

    assert {tool["name"] for tool in answer["items"]} == {
        "knowledge_search", "calculator", "current_time", "text_statistics"
    }  # fmt: skip
    assert answer["next_cursor"] is None
    assert set(answer["items"][0]) == {"name", "title", "description", "parameters", "effect"}
