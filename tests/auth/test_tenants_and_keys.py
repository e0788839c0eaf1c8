import hashlib
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from services.auth.module import SERVICE
from services.auth.tenants import service
from shared.auth import authenticator
from shared.auth.permissions import Permission
from shared.database.session import Scope
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.support.platform import PASSWORD, Account, Platform


@pytest.fixture
async def client(platform: Platform) -> httpx.AsyncClient:
    return await platform.client(SERVICE)


@pytest.fixture
def without_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "FRESH_SECONDS", 0.0)


def _members(account: Account) -> str:
    return f"/api/v1/tenants/{account.tenant_id}/members"


async def test_members_of_another_tenant_are_as_if_they_were_not_there(
    client: httpx.AsyncClient, ada: Account, bob: Account
) -> None:
    for method, path in (("GET", _members(ada)), ("DELETE", f"{_members(ada)}/{ada.user_id}")):
        assert (await client.request(method, path, headers=bob.headers)).status_code == 404
    inside = await client.delete(f"{_members(bob)}/{ada.user_id}", headers=bob.headers)
    assert inside.status_code == 404


async def test_roles_bound_what_a_member_may_do(platform: Platform, client: httpx.AsyncClient, ada: Account) -> None:
    viewer = await platform.join(ada, "viewer")
    admin = await platform.join(ada, "admin")

    widen = await client.put(f"{_members(ada)}/{viewer.user_id}", json={"role": "owner"}, headers=viewer.headers)
    above = await client.put(f"{_members(ada)}/{viewer.user_id}", json={"role": "owner"}, headers=admin.headers)
    topple = await client.delete(f"{_members(ada)}/{ada.user_id}", headers=admin.headers)
    fine = await client.put(f"{_members(ada)}/{viewer.user_id}", json={"role": "editor"}, headers=admin.headers)

    assert [widen.status_code, above.status_code, topple.status_code, fine.status_code] == [403, 403, 403, 200]


async def test_the_last_owner_stays(client: httpx.AsyncClient, ada: Account) -> None:
    gone = await client.delete(f"{_members(ada)}/{ada.user_id}", headers=ada.headers)
    demoted = await client.put(f"{_members(ada)}/{ada.user_id}", json={"role": "viewer"}, headers=ada.headers)

    assert [gone.json()["error"]["code"], demoted.json()["error"]["code"]] == ["last_owner", "last_owner"]


async def test_removing_a_member_stops_his_token(
    platform: Platform, client: httpx.AsyncClient, ada: Account, without_cache: None
) -> None:
    editor = await platform.join(ada, "editor")
    assert (await client.get(_members(ada), headers=editor.headers)).status_code == 200

    assert (await client.delete(f"{_members(ada)}/{editor.user_id}", headers=ada.headers)).status_code == 204

    assert (await client.get("/api/v1/users/me", headers=editor.headers)).status_code == 401


async def test_a_person_of_two_tenants_switches_between_them(
    platform: Platform, client: httpx.AsyncClient, ada: Account, bob: Account
) -> None:
    made = await client.post("/api/v1/tenants", json={"name": "Second"}, headers=ada.headers)
    assert made.status_code == 201
    second = made.json()["id"]

    switched = await client.post(f"/api/v1/tenants/{second}/switch", headers=ada.headers)
    foreign = await client.post(f"/api/v1/tenants/{second}/switch", headers=bob.headers)

    bearer = {"Authorization": f"Bearer {switched.json()['access_token']}"}
    assert (await client.get("/api/v1/users/me", headers=bearer)).json()["tenant"]["id"] == second
    assert foreign.status_code == 404
    names = [t["name"] for t in (await client.get("/api/v1/tenants", headers=ada.headers)).json()["items"]]
    assert names == ["Ada's team", "Second"]


async def test_an_api_key_does_what_its_scopes_say_until_revoked(
    client: httpx.AsyncClient, ada: Account, without_cache: None
) -> None:
    body = {"name": "reader", "scopes": ["members:read"]}
    made = (await client.post("/api/v1/api-keys", json=body, headers=ada.headers)).json()
    key = {"Authorization": f"Bearer {made['key']}"}

    assert (await client.get(_members(ada), headers=key)).status_code == 200
    add = {"email": "x@example.com", "role": "viewer"}
    assert (await client.post(_members(ada), json=add, headers=key)).status_code == 403
    assert (await client.post("/api/v1/api-keys", json=body, headers=key)).status_code == 403
    listed = (await client.get("/api/v1/api-keys", headers=ada.headers)).json()["items"]
    assert [item["id"] for item in listed] == [made["id"]]
    assert "key" not in listed[0]

    assert (await client.delete(f"/api/v1/api-keys/{made['id']}", headers=ada.headers)).status_code == 204
    assert (await client.get(_members(ada), headers=key)).status_code == 401


async def test_a_key_cannot_be_wider_than_its_maker_nor_born_dead(
    platform: Platform, client: httpx.AsyncClient, ada: Account
) -> None:
    viewer = await platform.join(ada, "viewer")
    wide = await client.post("/api/v1/api-keys", json={"name": "k", "scopes": ["models:write"]}, headers=viewer.headers)
    dead = await client.post(
        "/api/v1/api-keys",
        json={"name": "k", "scopes": ["models:read"], "expires_at": (utcnow() - timedelta(days=1)).isoformat()},
        headers=ada.headers,
    )
    assert [wide.json()["error"]["code"], dead.json()["error"]["code"]] == ["scope_too_wide", "already_expired"]


async def test_nobody_finds_out_who_has_an_account_by_adding_everybody(
    client: httpx.AsyncClient, ada: Account, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MEMBERS_ADDED", "3/hour")
    body = {"email": f"{new_id().hex}@example.com", "role": "viewer"}

    codes = [(await client.post(_members(ada), json=body, headers=ada.headers)).status_code for _ in range(4)]

    assert codes == [422, 422, 422, 429]
    assert (await client.post(_members(bob), json=body, headers=bob.headers)).status_code == 422


async def _key(client: httpx.AsyncClient, account: Account, *scopes: str) -> dict[str, str]:
    body = {"name": "k", "scopes": scopes}
    made = await client.post("/api/v1/api-keys", json=body, headers=account.headers)
    return {"Authorization": f"Bearer {made.json()['key']}"}


async def test_a_key_makes_no_keys_and_does_not_change_its_person(client: httpx.AsyncClient, ada: Account) -> None:
    everything = [permission.value for permission in Permission]
    key = await _key(client, ada, *everything)
    listed = (await client.get("/api/v1/api-keys", headers=ada.headers)).json()["items"]
    password = {"current_password": PASSWORD, "new_password": "a much better one"}

    answers = [
        await client.post("/api/v1/api-keys", json={"name": "child", "scopes": ["models:read"]}, headers=key),
        await client.delete(f"/api/v1/api-keys/{listed[0]['id']}", headers=key),
        await client.put("/api/v1/users/me", json=password, headers=key),
        await client.put("/api/v1/users/me", json={"display_name": "Eve"}, headers=key),
        await client.post("/api/v1/tenants", json={"name": "Further"}, headers=key),
        await client.post(f"/api/v1/tenants/{ada.tenant_id}/switch", headers=key),
    ]

    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert (await client.get("/api/v1/api-keys", headers=ada.headers)).json()["items"] == listed
    assert (await client.get("/api/v1/users/me", headers=key)).json()["display_name"] == "Ada"


async def test_a_key_cannot_widen_itself_by_making_members(
    platform: Platform, client: httpx.AsyncClient, ada: Account
) -> None:
    viewer = await platform.join(ada, "viewer")
    key = await _key(client, ada, "members:read", "members:write")
    puppet = {"email": f"{new_id().hex}@example.com", "role": "owner", "display_name": "P", "password": PASSWORD}

    made = await client.post(_members(ada), json=puppet, headers=key)
    raised = await client.put(f"{_members(ada)}/{viewer.user_id}", json={"role": "owner"}, headers=key)

    assert [made.status_code, raised.status_code] == [403, 403]
    assert (await client.delete(f"{_members(ada)}/{viewer.user_id}", headers=key)).status_code == 204


async def test_a_lower_role_lowers_the_keys_too(
    platform: Platform, client: httpx.AsyncClient, ada: Account, without_cache: None
) -> None:
    admin = await platform.join(ada, "admin")
    key = await _key(client, admin, "members:read", "members:write")
    path = f"{_members(ada)}/{admin.user_id}"
    assert "members:write" in (await client.get("/api/v1/users/me", headers=key)).json()["permissions"]

    assert (await client.put(path, json={"role": "viewer"}, headers=ada.headers)).status_code == 200

    assert (await client.get("/api/v1/users/me", headers=key)).json()["permissions"] == ["members:read"]
    assert (await client.delete(path, headers=key)).status_code == 403


async def test_only_a_keys_hash_is_kept(platform: Platform, client: httpx.AsyncClient, ada: Account) -> None:
    key = (await _key(client, ada, "models:read"))["Authorization"].removeprefix("Bearer ")
    async with platform.resources.database.read(Scope(ada.tenant_id, ada.user_id)) as session:
        row = await session.scalar(text("SELECT to_jsonb(k)::text FROM api_keys k"))

    _, _, secret = key.split("_", 2)
    assert len(secret) > 40
    assert secret not in row
    assert hashlib.sha256(secret.encode()).hexdigest() in row


async def test_an_expired_key_is_refused(
    client: httpx.AsyncClient, ada: Account, without_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"name": "k", "scopes": ["models:read"], "expires_at": (utcnow() + timedelta(hours=1)).isoformat()}
    made = (await client.post("/api/v1/api-keys", json=body, headers=ada.headers)).json()
    key = {"Authorization": f"Bearer {made['key']}"}
    assert (await client.get("/api/v1/users/me", headers=key)).status_code == 200

    later = utcnow() + timedelta(hours=2)
    monkeypatch.setattr(authenticator, "utcnow", lambda: later)

    assert (await client.get("/api/v1/users/me", headers=key)).status_code == 401


async def test_who_comes_back_has_none_of_his_old_keys_and_sessions(
    platform: Platform, client: httpx.AsyncClient, ada: Account, without_cache: None
) -> None:
    editor = await platform.join(ada, "editor")
    key = await _key(client, editor, "models:read")

    await client.delete(f"{_members(ada)}/{editor.user_id}", headers=ada.headers)
    back = await client.post(_members(ada), json={"email": editor.email, "role": "editor"}, headers=ada.headers)
    assert back.status_code == 201

    for headers in (key, editor.headers):
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401


@pytest.mark.parametrize("tail", ["", "x", "_", "0" * 200, "\u00e9"])
async def test_a_malformed_key_is_refused(client: httpx.AsyncClient, tail: str) -> None:
    answer = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer qd_{tail}".encode()})

    assert answer.status_code == 401
