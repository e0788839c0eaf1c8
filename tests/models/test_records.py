"""Model records through the API: kept, changed, found, taken away; keys that never come back."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, text

from shared.database.session import Scope
from shared.database.tables.agents import Agent
from shared.database.tables.models import Model
from shared.database.tables.workflows import Workflow, WorkflowVersion
from shared.kit.ids import new_id
from shared.llm.records import model_config
from shared.security.encryption import CannotDecrypt
from tests.fakes.model_server import FakeModelServer
from tests.models.conftest import CANARY, MODELS, Api
from tests.support.platform import Account, Platform


def problems(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {detail["field"]: detail["code"] for detail in answer.json()["error"]["details"]}


async def row_of(platform: Platform, account: Account, model_id: str) -> Model:
    async with platform.resources.database.read(Scope(account.tenant_id)) as session:
        row = await session.scalar(select(Model).where(Model.id == UUID(model_id)))
    assert row is not None
    return row


async def test_every_tenant_starts_with_the_local_model(api: Api) -> None:
    (model,) = (await api.call("GET")).json()["items"]
    assert (model["provider"], model["is_default"], model["has_api_key"]) == ("local", True, False)
    assert model["settings"]["max_tokens"] == 1024
    answer = await api.test(model)
    assert answer.status_code == 200, answer.text


async def test_a_model_is_kept_as_it_was_given(api: Api, provider: FakeModelServer) -> None:
    given = api.body(
        name="  Mine ", api_key=CANARY, context_window=1000, supports_tools=False, input_price="1.5", output_price="2"
    )
    created = await api.call("POST", json=given)
    assert created.status_code == 201, created.text
    model = created.json()
    assert model == (await api.call("GET", f"/{model['id']}")).json()
    assert model["name"] == "Mine"
    assert model["settings"]["base_url"] == provider.base_url
    assert model["settings"]["tool_calls"] == "native"
    assert (model["context_window"], model["supports_tools"], model["version"]) == (1000, False, 1)
    assert (model["input_price"], model["effective_output_price"]) == ("1.5", "2")


async def test_what_is_known_of_a_model_is_filled_in(api: Api) -> None:
    body = {"name": "OpenAI", "provider": "openai", "model": "gpt-4o-mini", "api_key": CANARY}
    answer = await api.call("POST", json=body)
    model = answer.json()
    assert model["context_window"] == 128_000
    assert (model["input_price"], model["effective_input_price"]) == (None, "0.15")
    assert model["settings"]["base_url"] == "https://api.openai.com/v1"


async def test_a_key_never_comes_back(api: Api, ada: Account, platform: Platform) -> None:
    model = await api.create(api_key=CANARY)
    assert (model["has_api_key"], model["api_key_last4"]) == (True, "cdef")
    for path in ("", f"/{model['id']}", "?q=Test"):
        assert CANARY not in (await api.call("GET", path)).text
    refused = await api.call("POST", json=api.body(name="x", api_key=CANARY, model=""))
    assert refused.status_code == 422
    assert CANARY not in refused.text

    row = await row_of(platform, ada, model["id"])
    assert row.api_key is not None
    assert CANARY.encode() not in row.api_key
    assert model_config(row, platform.resources.cipher).api_key == CANARY
    assert CANARY not in repr(model_config(row, platform.resources.cipher))


async def test_a_key_opens_in_its_own_row_only(api: Api, ada: Account, platform: Platform) -> None:
    one, other = await api.create(name="one", api_key=CANARY), await api.create(name="other", api_key=CANARY)
    first, second = await row_of(platform, ada, one["id"]), await row_of(platform, ada, other["id"])
    second.api_key = first.api_key
    with pytest.raises(CannotDecrypt):
        model_config(second, platform.resources.cipher)


async def test_a_short_key_shows_nothing_of_itself(api: Api) -> None:
    assert (await api.create(api_key="short-key"))["api_key_last4"] is None


async def test_keys_are_kept_replaced_and_taken_away(api: Api, provider: FakeModelServer) -> None:
    model = await api.create(api_key=CANARY)
    path = f"/{model['id']}"

    async def sent(body: dict[str, Any]) -> str | None:
        changed = await api.call("PUT", path, json=body)
        assert changed.status_code == 200, changed.text
        assert (await api.test(model)).status_code == 200
        return provider.journal()[-1]["headers"].get("authorization")

    assert await sent(api.body(name="Renamed")) == f"Bearer {CANARY}"
    assert await sent(api.body(api_key="another-key")) == "Bearer another-key"
    assert await sent(api.body(api_key=None)) is None
    assert (await api.call("GET", path)).json()["version"] == 4


async def test_a_key_is_not_sent_to_another_address(api: Api) -> None:
    model = await api.create(api_key=CANARY)
    path = f"/{model['id']}"
    elsewhere = api.body(settings={"base_url": "https://attacker.example/v1"})
    assert problems(await api.call("PUT", path, json=elsewhere)) == {"api_key": "entered_for_another_address"}
    vendor = {"name": "x", "provider": "ollama", "model": "m", "settings": {"base_url": "http://127.0.0.1:1"}}
    assert problems(await api.call("PUT", path, json=vendor)) == {"api_key": "entered_for_another_address"}
    assert (await api.call("PUT", path, json=elsewhere | {"api_key": None})).json()["has_api_key"] is False
    local = {"name": "y", "provider": "local", "model": "local-llm"}
    assert (await api.call("PUT", path, json=local)).json()["has_api_key"] is False


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"settings": {"base_url": "ftp://x"}}, {"settings.base_url": "value_error"}),
        ({"settings": {"base_url": "http://u:p@x.example"}}, {"settings.base_url": "value_error"}),
        ({"settings": {"base_url": "http://x.example/?k=v"}}, {"settings.base_url": "value_error"}),
        ({"settings": {"base_url": "http://10.1.2.3/v1"}}, {"settings.base_url": "address_not_allowed"}),
        ({"settings": {"base_url": "http://169.254.169.254"}}, {"settings.base_url": "address_not_allowed"}),
        ({"settings": {"base_url": "http://[::1]:80/"}}, {"settings.base_url": "address_not_allowed"}),
        ({"settings": {"base_url": "http://2130706433"}}, {"settings.base_url": "value_error"}),
        ({"settings": {"unknown": 1}}, {"settings.unknown": "extra_forbidden"}),
        ({"settings": {"temperature": 3}}, {"settings.temperature": "less_than_equal"}),
        ({"settings": {"timeout_seconds": "soon"}}, {"settings.timeout_seconds": "float_parsing"}),
        ({"settings": {"fallback_model_ids": [str(UUID(int=5))]}}, {"settings.fallback_model_ids.0": "unknown_model"}),
        ({"provider": "nobody"}, {"provider": "enum"}),
        ({"api_key": "with space"}, {"api_key": "value_error"}),
        ({"api_key": "line\nbreak"}, {"api_key": "value_error"}),
        ({"api_key": ""}, {"api_key": "value_error"}),
        ({"input_price": "-1"}, {"input_price": "greater_than_equal"}),
        ({"input_price": "NaN"}, {"input_price": "finite_number"}),
        ({"context_window": 10**12}, {"context_window": "less_than_equal"}),
        ({"name": "nul\x00"}, {"name": "value_error"}),
        ({"tenant_id": str(UUID(int=1))}, {"tenant_id": "extra_forbidden"}),
        ({"api_key_last4": "1234"}, {"api_key_last4": "extra_forbidden"}),
    ],
)
async def test_bad_input_is_refused_by_field(changes: dict[str, Any], expected: dict[str, str], api: Api) -> None:
    assert problems(await api.call("POST", json=api.body(**changes))) == expected
    assert len((await api.call("GET")).json()["items"]) == 1


async def test_a_key_is_given_where_one_is_needed(api: Api) -> None:
    local = {"name": "x", "provider": "local", "model": "local-llm", "api_key": "key"}
    assert problems(await api.call("POST", json=local)) == {"api_key": "not_allowed"}
    for provider in ("openai", "anthropic", "google"):
        keyless = {"name": "x", "provider": provider, "model": "m"}
        assert problems(await api.call("POST", json=keyless)) == {"api_key": "missing"}


async def test_names_are_taken_once(api: Api) -> None:
    first = await api.create(name="One")
    await api.create(name="Two")
    again = await api.call("POST", json=api.body(name="One"))
    assert (again.status_code, again.json()["error"]["code"]) == (409, "model_name_taken")
    renamed = await api.call("PUT", f"/{first['id']}", json=api.body(name="Two"))
    assert renamed.status_code == 409
    assert (await api.call("PUT", f"/{first['id']}", json=api.body(name="One"))).status_code == 200


async def test_one_model_at_most_is_the_default(api: Api) -> None:
    await api.create(name="One", is_default=True)
    two = await api.create(name="Two", is_default=True)
    items = (await api.call("GET")).json()["items"]
    assert [item["name"] for item in items if item["is_default"]] == ["Two"]
    await api.call("PUT", f"/{two['id']}", json=api.body(name="Two"))
    assert not any(item["is_default"] for item in (await api.call("GET")).json()["items"])


async def test_lists_are_paged_sorted_and_filtered(api: Api) -> None:
    for name in ("c", "a", "b"):
        await api.create(name=name)
    names: list[str] = []
    cursor = ""
    while True:
        answer = (await api.call("GET", f"?sort=name&limit=2&provider=openai_compatible{cursor}")).json()
        names += [item["name"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert names == ["a", "b", "c"]
    assert [i["name"] for i in (await api.call("GET", "?q=LOCAL")).json()["items"]] == ["Local model"]
    for bad in ("?cursor=x", "?limit=0", "?sort=size", "?provider=nobody", "?q=%00"):
        assert (await api.call("GET", bad)).status_code == 422


async def test_a_model_in_use_stays(api: Api, ada: Account, platform: Platform) -> None:
    used = await api.create(name="Used")
    other = await api.create(name="Falls back", settings={"fallback_model_ids": [used["id"]]})
    agent = Agent(
        id=new_id(), tenant_id=ada.tenant_id, name="Agent", role="r", goal="g", model_id=UUID(used["id"]), tools=[],
        max_iterations=1, allow_delegation=False, suggested_prompts=[],
    )  # fmt: skip
    workflow = Workflow(id=new_id(), tenant_id=ada.tenant_id, name="Crew", latest_version=1)
    graph = {"nodes": [{"id": "c", "type": "crew", "config": {"manager_model_id": used["id"]}}]}
    version = WorkflowVersion(tenant_id=ada.tenant_id, workflow_id=workflow.id, version=1, graph=graph)
    async with platform.resources.database.write(Scope(ada.tenant_id)) as session:
        session.add_all([agent, workflow])
        await session.flush()
        session.add(version)
    refused = await api.call("DELETE", f"/{used['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_in_use")
    named = {detail["field"]: detail["message"] for detail in refused.json()["error"]["details"]}
    assert named == {
        f"agents.{agent.id}": "Agent",
        f"workflows.{workflow.id}": "Crew",
        f"models.{other['id']}": "Falls back",
    }
    assert (await api.call("DELETE", f"/{other['id']}")).status_code == 204
    assert (await api.call("GET", f"/{other['id']}")).status_code == 404


async def test_providers_show_what_can_be_set(api: Api) -> None:
    items = {item["provider"]: item for item in (await api.call("GET", "/providers")).json()["items"]}
    assert set(items) == {"local", "openai_compatible", "openai", "anthropic", "google", "ollama"}
    assert items["local"]["available"]
    assert items["openai"]["api_key"] == "required"
    schema = items["openai_compatible"]["settings_schema"]
    assert schema["required"] == ["base_url"]
    assert schema["properties"]["tool_calls"]["enum"] == ["native", "schema"]
    assert "api_key" not in schema["properties"]


async def test_roles(api: Api, client: httpx.AsyncClient, ada: Account, platform: Platform) -> None:
    model = await api.create()
    for role, may_write, may_run in (("viewer", False, False), ("editor", False, True), ("admin", True, True)):
        headers = (await platform.join(ada, role)).headers
        assert (await client.get(MODELS, headers=headers)).status_code == 200
        tried = await client.post(f"{MODELS}/{model['id']}/test", headers=headers)
        assert tried.status_code == (200 if may_run else 403)
        created = await client.post(MODELS, json=api.body(name=role), headers=headers)
        assert created.status_code == (201 if may_write else 403)
    assert (await client.get(MODELS)).status_code == 401
    assert (await client.post(f"{MODELS}/{model['id']}/test")).status_code == 401


async def test_another_tenant_sees_nothing(
    api: Api, client: httpx.AsyncClient, bob: Account, provider: FakeModelServer
) -> None:
    model = await api.create(name="Ada's", api_key=CANARY)
    path = f"{MODELS}/{model['id']}"
    for method, url, body in (
        ("GET", path, None),
        ("PUT", path, api.body()),
        ("DELETE", path, None),
        ("POST", f"{path}/test", None),
        ("GET", f"{path}/usage", None),
    ):
        answer = await client.request(method, url, json=body, headers=bob.headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert provider.journal() == []
    names = [i["name"] for i in (await client.get(MODELS, headers=bob.headers)).json()["items"]]
    assert names == ["Local model"]
    mine = api.body(settings={"fallback_model_ids": [model["id"]]})
    answer = await client.post(MODELS, json=mine, headers=bob.headers)
    assert problems(answer) == {"settings.fallback_model_ids.0": "unknown_model"}
    assert (await client.get(f"{MODELS}/{uuid4()}", headers=bob.headers)).status_code == 404
    assert (await client.get(f"{MODELS}/x", headers=bob.headers)).status_code == 422


async def test_no_row_without_a_tenant(api: Api, platform: Platform) -> None:
    await api.create()
    async with platform.resources.database.read(Scope()) as session:
        assert (await session.execute(text("SELECT count(*) FROM models"))).scalar() == 0
