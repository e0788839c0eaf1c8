import asyncio

import httpx
import pytest
from sqlalchemy import text

from services.auth.module import SERVICE
from shared.auth import authenticator, passwords
from shared.database.session import Scope
from shared.kit.ids import new_id
from tests.support.platform import PASSWORD, Account, Platform

OWN_PAGE = {"X-Quarterdeck-Client": "test"}
COOKIE = "quarterdeck_refresh"


@pytest.fixture
async def client(platform: Platform) -> httpx.AsyncClient:
    return await platform.client(SERVICE)


@pytest.fixture
def without_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a caller may is looked up each time, so that tests need not wait for the cache to grow old."""
    monkeypatch.setattr(authenticator, "FRESH_SECONDS", 0.0)


async def _register(client: httpx.AsyncClient) -> tuple[str, httpx.Response]:
    email = f"{new_id().hex}@example.com"
    body = {"email": email, "password": PASSWORD, "display_name": "Grace"}
    return email, await client.post("/api/v1/auth/register", json=body)


async def test_register_makes_a_tenant_with_its_owner_and_the_local_model(
    client: httpx.AsyncClient, platform: Platform
) -> None:
    email, answer = await _register(client)

    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = (await client.get("/api/v1/users/me", headers=bearer)).json()
    assert (me["email"], me["role"], me["tenant"]["name"]) == (email, "owner", "Grace's team")
    async with platform.resources.database.read(Scope(tenant_id=me["tenant"]["id"])) as session:
        providers = (await session.execute(text("SELECT provider FROM models"))).scalars().all()
    assert providers == ["local"]


async def test_an_email_address_registers_once_whatever_its_case(client: httpx.AsyncClient) -> None:
    email, _ = await _register(client)
    body = {"email": email.upper(), "password": PASSWORD, "display_name": "Other"}

    answer = await client.post("/api/v1/auth/register", json=body)

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "email_taken"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 300}, "password"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": "a\u0000b"}, "display_name"),
        ({"tenant_id": "x"}, "tenant_id"),
        ({"role": "owner"}, "role"),
    ],
)
async def test_a_wrong_registration_names_the_field(
    client: httpx.AsyncClient, change: dict[str, str], field: str
) -> None:
    body = {"email": "someone@example.com", "password": PASSWORD, "display_name": "Grace", **change}

    answer = await client.post("/api/v1/auth/register", json=body)

    assert answer.status_code == 422
    error = answer.json()["error"]
    assert field in [detail["field"] for detail in error["details"]]
    assert error["correlation_id"] == answer.headers["x-correlation-id"]


async def test_an_unknown_address_and_a_wrong_password_answer_alike(client: httpx.AsyncClient, ada: Account) -> None:
    wrong = await client.post("/api/v1/auth/login", json={"email": ada.email, "password": "not the password"})
    unknown = await client.post("/api/v1/auth/login", json={"email": "no@example.com", "password": PASSWORD})

    assert wrong.status_code == unknown.status_code == 401
    drop = {"correlation_id": None}
    assert {**wrong.json()["error"], **drop} == {**unknown.json()["error"], **drop}


async def test_guessing_is_throttled_and_locks_out_nobody_elsewhere(platform: Platform, ada: Account) -> None:
    client = await platform.client(SERVICE)
    codes = [
        (await client.post("/api/v1/auth/login", json={"email": ada.email, "password": f"guess {n}"})).status_code
        for n in range(11)
    ]
    assert codes == [401] * 10 + [429]

    app = client._transport.app  # type: ignore[attr-defined]
    elsewhere = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, client=("192.0.2.7", 1)), base_url=str(client.base_url)
    )
    async with elsewhere:
        answer = await elsewhere.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})
    assert answer.status_code == 200


async def test_an_ipv6_line_is_one_guesser(platform: Platform, ada: Account) -> None:
    app = (await platform.client(SERVICE))._transport.app  # type: ignore[attr-defined]
    codes: list[int] = []
    for n in range(11):
        transport = httpx.ASGITransport(app=app, client=(f"2001:db8:5:7:{n:x}::{n:x}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://quarterdeck.test") as guesser:
            body = {"email": ada.email, "password": f"guess {n}"}
            codes.append((await guesser.post("/api/v1/auth/login", json=body)).status_code)

    assert codes == [401] * 10 + [429]


async def test_a_refresh_token_is_spent_once_and_its_reuse_ends_the_family(
    client: httpx.AsyncClient, without_cache: None
) -> None:
    _, answer = await _register(client)
    first = answer.cookies[COOKIE]
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    client.cookies.clear()

    async def refresh(token: str) -> httpx.Response:
        return await client.post("/api/v1/auth/refresh-token", headers={**OWN_PAGE, "Cookie": f"{COOKIE}={token}"})

    second = await refresh(first)
    assert second.status_code == 200
    client.cookies.clear()
    bearer = {"Authorization": f"Bearer {second.json()['access_token']}"}
    assert (await client.get("/api/v1/users/me", headers=bearer)).status_code == 200

    replayed = await refresh(first)
    assert replayed.status_code == 401
    assert (await refresh(second.cookies[COOKIE])).status_code == 401, "the whole family is revoked"
    assert (await client.get("/api/v1/users/me", headers=bearer)).status_code == 401


async def test_of_many_that_refresh_at_once_one_wins(client: httpx.AsyncClient) -> None:
    _, answer = await _register(client)
    headers = {**OWN_PAGE, "Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}
    client.cookies.clear()

    answers = await asyncio.gather(*(client.post("/api/v1/auth/refresh-token", headers=headers) for _ in range(8)))

    assert sorted(a.status_code for a in answers) == [200] + [401] * 7


@pytest.mark.parametrize("headers", [{}, {**OWN_PAGE, "Origin": "https://evil.example"}])
async def test_refresh_needs_proof_that_our_page_asks(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    await _register(client)

    answer = await client.post("/api/v1/auth/refresh-token", headers=headers)

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("public_url", "secure"), [("https://quarterdeck.test", True), ("http://127.0.0.1:8700", False)]
)
async def test_the_refresh_cookie_is_kept_from_scripts_other_sites_and_open_lines(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, public_url: str, secure: bool
) -> None:
    monkeypatch.setattr(platform.resources.settings, "public_url", public_url)
    _, answer = await _register(await platform.client(SERVICE))

    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/api/v1/auth"} <= flags
    assert ("secure" in flags) == secure
    assert "refresh" not in answer.text


async def test_logout_ends_tokens_and_cookie(client: httpx.AsyncClient, without_cache: None) -> None:
    _, answer = await _register(client)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    assert (await client.post("/api/v1/auth/logout", headers=OWN_PAGE)).status_code == 204

    assert (await client.get("/api/v1/users/me", headers=bearer)).status_code == 401
    assert (await client.post("/api/v1/auth/refresh-token", headers=OWN_PAGE)).status_code == 401


async def test_a_new_password_needs_the_old_one_and_ends_other_sessions(
    client: httpx.AsyncClient, ada: Account, without_cache: None
) -> None:
    other = (await client.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})).json()
    change = {"current_password": "wrong password", "new_password": "a much better one"}
    refused = await client.put("/api/v1/users/me", json=change, headers=ada.headers)
    assert refused.status_code == 403

    change["current_password"] = PASSWORD
    assert (await client.put("/api/v1/users/me", json=change, headers=ada.headers)).status_code == 200

    assert (await client.get("/api/v1/users/me", headers=ada.headers)).status_code == 200
    bearer = {"Authorization": f"Bearer {other['access_token']}"}
    assert (await client.get("/api/v1/users/me", headers=bearer)).status_code == 401
    assert (await client.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})).status_code == 401


async def test_a_new_password_ends_the_sessions_in_other_tenants_too(
    client: httpx.AsyncClient, ada: Account, without_cache: None
) -> None:
    second = (await client.post("/api/v1/tenants", json={"name": "Second"}, headers=ada.headers)).json()["id"]
    switched = await client.post(f"/api/v1/tenants/{second}/switch", headers=ada.headers)
    elsewhere = {"Authorization": f"Bearer {switched.json()['access_token']}"}
    change = {"current_password": PASSWORD, "new_password": "a much better one"}

    changed = await client.put("/api/v1/users/me", json=change, headers=ada.headers)

    assert (changed.status_code, changed.json()["tenant"]["id"]) == (200, str(ada.tenant_id))
    assert (await client.get("/api/v1/users/me", headers=elsewhere)).status_code == 401
    assert (await client.get("/api/v1/users/me", headers=ada.headers)).status_code == 200


async def test_the_old_password_cannot_be_guessed_with_a_stolen_session(
    client: httpx.AsyncClient, ada: Account, bob: Account
) -> None:
    change = {"current_password": "a wild guess", "new_password": "a much better one"}
    codes = [(await client.put("/api/v1/users/me", json=change, headers=ada.headers)).status_code for _ in range(11)]

    assert codes == [403] * 10 + [429]
    assert (await client.put("/api/v1/users/me", json=change, headers=bob.headers)).status_code == 403
    login = await client.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})
    assert login.status_code == 200


async def test_a_disabled_persons_cookie_is_worth_nothing(platform: Platform, client: httpx.AsyncClient) -> None:
    email, _ = await _register(client)
    async with platform.resources.database.read(Scope()) as session:
        user_id = await session.scalar(text("SELECT id FROM auth_find_user(:email)"), {"email": email})
    async with platform.resources.database.write(Scope(user_id=user_id)) as session:
        await session.execute(text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": user_id})

    answer = await client.post("/api/v1/auth/refresh-token", headers=OWN_PAGE)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "session_ended")


async def test_passwords_are_hashed_slowly_and_an_unknown_persons_too(
    platform: Platform, client: httpx.AsyncClient, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with platform.resources.database.read(Scope(ada.tenant_id, ada.user_id)) as session:
        kept = await session.scalar(text("SELECT password_hash FROM users WHERE id = :id"), {"id": ada.user_id})
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    compared: list[str] = []
    original = passwords._verify

    async def counted(password: str, hashed: str) -> bool:
        compared.append(hashed)
        return await original(password, hashed)

    monkeypatch.setattr(passwords, "_verify", counted)
    for email in (ada.email, "nobody@example.com"):
        await client.post("/api/v1/auth/login", json={"email": email, "password": "not the password"})
    assert [hashed[:31] for hashed in compared] == [kept[:31]] * 2


async def test_a_disabled_person_is_out_with_token_key_and_password(
    without_cache: None, platform: Platform, client: httpx.AsyncClient, ada: Account
) -> None:
    made = await client.post("/api/v1/api-keys", json={"name": "k", "scopes": ["models:read"]}, headers=ada.headers)
    async with platform.resources.database.write(Scope(ada.tenant_id, ada.user_id)) as session:
        await session.execute(text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": ada.user_id})

    for credential in (ada.token, made.json()["key"]):
        bearer = {"Authorization": f"Bearer {credential}"}
        assert (await client.get("/api/v1/users/me", headers=bearer)).status_code == 401
    login = await client.post("/api/v1/auth/login", json={"email": ada.email, "password": PASSWORD})
    assert login.json()["error"]["code"] == "wrong_credentials"
