from datetime import timedelta

import httpx
import pytest

from services.auth.module import SERVICE
from shared.auth import authenticator
from shared.kit.clock import utcnow
from tests.support.platform import Account, Platform


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


@pytest.mark.parametrize("tail", ["", "x", "_", "0" * 200, "\u00e9"])
async def test_a_malformed_key_is_refused(client: httpx.AsyncClient, tail: str) -> None:
    answer = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer qd_{tail}".encode()})

    assert answer.status_code == 401
