"""Every way to forge an access token that RFC 8725 warns of."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
from jose import jwt

from services.auth.module import SERVICE
from shared.auth import tokens
from shared.kit.ids import new_id
from tests.support.platform import Account, Platform


@pytest.fixture
async def client(platform: Platform) -> httpx.AsyncClient:
    return await platform.client(SERVICE)


async def _status(client: httpx.AsyncClient, token: str) -> int:
    answer = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


def _claims(account: Account, **changes: Any) -> dict[str, Any]:
    own = jwt.get_unverified_claims(account.token)
    return {name: value for name, value in {**own, **changes}.items() if value is not None}


async def test_a_token_forged_with_our_own_key_but_other_claims_is_refused(
    platform: Platform, client: httpx.AsyncClient, ada: Account
) -> None:
    key = await platform.resources.keys.signing_key()
    header = {"kid": key.kid, "typ": tokens.TOKEN_TYPE}

    def sign(claims: dict[str, Any], headers: dict[str, Any]) -> str:
        return jwt.encode(claims, key.private_pem, algorithm="ES256", headers=headers)

    assert await _status(client, sign(_claims(ada), header)) == 200, "the forge itself works"
    wrong_claims = [
        {"iss": "someone-else"},
        {"aud": "another-api"},
        {"exp": int(time.time()) - 10},
        {"sid": str(new_id())},
        {"sub": str(new_id())},
        {"tid": str(new_id())},
        {"sub": "nobody"},
        {"jti": None},
        {"exp": None},
    ]
    for change in wrong_claims:
        assert await _status(client, sign(_claims(ada, **change), header)) == 401, change
    wrong_headers = [
        {**header, "typ": "JWT"},
        {"kid": key.kid},
        {**header, "kid": "unknown"},
        {**header, "jwk": key.public_jwk},
        {**header, "jku": "https://evil.example/keys"},
        {**header, "crit": ["exp"]},
    ]
    for headers in wrong_headers:
        assert await _status(client, sign(_claims(ada), headers)) == 401, headers


async def test_other_algorithms_are_refused(platform: Platform, client: httpx.AsyncClient, ada: Account) -> None:
    key = await platform.resources.keys.signing_key()
    header = {"kid": key.kid, "typ": tokens.TOKEN_TYPE}
    with_public_key = jwt.encode(_claims(ada), json.dumps(key.public_jwk), algorithm="HS256", headers=header)

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    unsigned = f"{part({**header, 'alg': 'none'})}.{part(_claims(ada))}."

    assert await _status(client, with_public_key) == 401
    assert await _status(client, unsigned) == 401


async def test_a_huge_token_is_refused_unread(client: httpx.AsyncClient, ada: Account) -> None:
    assert await _status(client, ada.token + "A" * 9000) == 401


async def test_unknown_key_ids_read_the_key_set_once_per_interval(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = tokens.KeyRing(platform.resources.database, platform.resources.cipher, platform.resources.tokens.life)
    loads = 0
    original = ring._load

    async def counted(*, create: bool) -> None:
        nonlocal loads
        loads += 1
        await original(create=create)

    monkeypatch.setattr(ring, "_load", counted)
    for number in range(200):
        assert await ring.verifying_key(f"unknown-{number}") is None
    assert loads == 1


async def test_a_rotated_key_still_verifies_what_it_signed(
    platform: Platform, client: httpx.AsyncClient, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (await platform.resources.keys.signing_key()).kid
    later = tokens.utcnow() + tokens.KEY_LIFE
    monkeypatch.setattr(tokens, "utcnow", lambda: later)
    new = (await platform.resources.keys.signing_key()).kid
    monkeypatch.undo()

    assert new != old
    kids = [key["kid"] for key in (await client.get("/.well-known/jwks.json")).json()["keys"]]
    assert {old, new} <= set(kids)
    assert await _status(client, ada.token) == 200
