"""Limits against a real Valkey, and without one."""

import asyncio
import time
from collections.abc import AsyncGenerator
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Scope

from gateway.middleware import rate_limit
from gateway.middleware.rate_limit import BLOCKS_IN_A_RULE, RateLimits
from gateway.routing import ROUTE, find_route
from shared.auth.permissions import PERMISSIONS, Role
from shared.auth.principal import Principal
from shared.kit.ids import new_id
from shared.kit.settings import Settings
from shared.web.throttle import TooManyRequests
from tests.gateway.fronts import near
from tests.gateway.support import free_port
from tests.support.platform import Account


def scope(path: str = "/api/v1/models", *, client: str = "192.0.2.1", principal: Principal | None = None) -> Scope:
    state = {} if principal is None else {"principal": principal}
    return {"type": "http", "client": (client, 1), "state": state, ROUTE: find_route("POST", path), "headers": []}


def person() -> Principal:
    return Principal(new_id(), new_id(), Role.OWNER, PERMISSIONS[Role.OWNER], session_id=new_id())


@pytest.fixture
def small(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "rate_limit": "40/hour",
            "rate_limit_anonymous": "20/hour",
            "rate_limit_credentials": "5/hour",
        }
    )


@pytest.fixture
async def limits(small: Settings) -> AsyncGenerator[RateLimits]:
    limits = RateLimits(small)
    yield limits
    await limits.close()


async def allowed(limits: RateLimits, asked: Scope, most: int = 100) -> int:
    """How often in a row it is let through."""
    for count in range(most):
        try:
            await limits.count(asked)
        except TooManyRequests:
            return count
    return most


def somebody() -> str:
    return f"192.0.2.{uuid4().hex}"


async def test_each_caller_has_a_quota_of_his_own(limits: RateLimits) -> None:
    one, other = person(), person()
    assert await allowed(limits, scope(principal=one)) == 40
    assert await allowed(limits, scope(principal=one, client=somebody())) == 0  # it is the person's, not the address's
    assert await allowed(limits, scope(principal=other)) == 40


async def test_strangers_are_counted_by_address_and_credentials_more_narrowly(limits: RateLimits) -> None:
    address = somebody()
    login = "/api/v1/auth/login"
    assert await allowed(limits, scope(login, client=address)) == 5
    assert await allowed(limits, scope("/api/v1/auth/refresh-token", client=address)) == 20 - 6
    assert await allowed(limits, scope(login, client=somebody())) == 5


async def test_several_gateways_share_one_count(small: Settings) -> None:
    gateways = [RateLimits(small) for _ in range(3)]
    caller = person()
    total = 0
    refused = 0
    while refused < len(gateways):
        refused = 0
        for gateway in gateways:
            try:
                await gateway.count(scope(principal=caller))
                total += 1
            except TooManyRequests:
                refused += 1
    block = 40 // BLOCKS_IN_A_RULE
    assert 40 - block * (len(gateways) - 1) <= total <= 40
    for gateway in gateways:
        await gateway.close()


async def test_many_at_once_get_no_more_than_there_is(limits: RateLimits) -> None:
    caller = person()
    results = await asyncio.gather(*(limits.count(scope(principal=caller)) for _ in range(200)), return_exceptions=True)
    assert sum(result is None for result in results) == 40


async def test_valkey_is_asked_for_blocks_not_for_every_request(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = RateLimits(small.model_copy(update={"rate_limit": "10000/hour"}))
    asked = 0
    incr = limits._shared.incr

    async def counting(*arguments: int) -> int:
        nonlocal asked
        asked += 1
        return await incr(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(limits._shared, "incr", counting)
    caller = scope(principal=person())
    for _ in range(5000):
        await limits.count(caller)
    assert asked == 5000 / (10000 / BLOCKS_IN_A_RULE)
    await limits.close()


async def test_a_window_ends(small: Settings) -> None:
    limits = RateLimits(small.model_copy(update={"rate_limit": "3/second"}))
    caller = scope(principal=person())
    assert 3 <= await allowed(limits, caller, most=10) <= 6
    await asyncio.sleep(1.05)
    await limits.count(caller)
    await limits.close()


async def test_without_valkey_each_gateway_counts_for_itself(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    away = small.model_copy(update={"broker_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")})
    limits = RateLimits(away)
    started = time.monotonic()
    assert await allowed(limits, scope(principal=person())) == 40
    assert await allowed(limits, scope("/api/v1/auth/login", client=somebody())) == 5
    assert time.monotonic() - started < 2  # it is not waited for again and again
    monkeypatch.setattr(rate_limit, "RETRY_SECONDS", 0)
    await limits.close()


async def test_the_answer_tells_when_to_come_back(small: Settings, ada: Account, bob: Account) -> None:
    with near(small) as front:
        async with httpx.AsyncClient(base_url=front.url, headers=ada.headers) as client:
            answers = [await client.get("/api/v1/models/x") for _ in range(42)]
            statuses = [answer.status_code for answer in answers]
            assert statuses == [200] * 40 + [429] * 2
            refused = answers[-1]
            assert 0 < int(refused.headers["retry-after"]) <= 3600
            assert refused.json()["error"]["code"] == "too_many_requests"
            assert front.echo.requests == 40
            other = await client.get("/api/v1/models/x", headers=bob.headers)
            assert other.status_code == 200
            guesses = [
                await client.get("/api/v1/models/x", headers={"Authorization": f"Bearer {n}"}) for n in range(25)
            ]
            assert [guess.status_code for guess in guesses].count(401) <= 20
            assert guesses[-1].status_code == 429


async def test_a_gateway_whose_valkey_is_away_serves(small: Settings, ada: Account) -> None:
    away = small.model_copy(update={"broker_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")})
    with near(away) as front:
        async with httpx.AsyncClient(base_url=front.url, headers=ada.headers, timeout=10) as client:
            statuses = [(await client.get("/api/v1/models/x")).status_code for _ in range(45)]
            assert statuses == [200] * 40 + [429] * 5
            assert (await client.get("/readyz")).json()["redis"] == "unavailable"
