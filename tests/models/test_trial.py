"""POST /models/{id}/test, with a provider that behaves and one that does not."""

import socket

import aiohttp
import httpx
import pytest
from aiohttp.abc import ResolveResult
from sqlalchemy import text

from shared.database.session import Scope
from tests.fakes.model_server import FakeModelServer
from tests.models.conftest import CANARY, Api
from tests.support.platform import Account, Platform


async def test_an_answer_is_timed_and_counted(api: Api, provider: FakeModelServer) -> None:
    provider.script(
        {"answer": "Hello! " * 100, "latency_ms": 80, "usage": {"prompt_tokens": 10, "completion_tokens": 20}}
    )
    model = await api.create(input_price="100", output_price="200")
    answer = await api.test(model)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert 80 <= found["latency_ms"] < 2000
    assert found["text"].startswith("Hello! ")
    assert len(found["text"]) == 200
    assert (found["input_tokens"], found["output_tokens"], found["cost"]) == (10, 20, "0.005")
    assert provider.journal()[0]["body"]["max_tokens"] == 60


def said(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    error = answer.json()["error"]
    return answer.status_code, error["message"], {d["field"]: f"{d['message']} {d['code']}" for d in error["details"]}


@pytest.mark.parametrize(
    ("kind", "status", "code", "cause"),
    [
        ("rate_limit", 503, "provider_rate_limited", "answered 429"),
        ("error", 503, "provider_unavailable", "answered 500"),
        ("garbage", 503, "provider_garbage", "cannot be read"),
        ("truncate", 503, "provider_garbage", "cannot be read"),
        ("drop", 503, "provider_unavailable", "broke off"),
        ("stall", 503, "provider_timeout", "in time"),
        ("hang", 503, "provider_timeout", "in time"),
        ("close", 503, "provider_unavailable", "broke off"),
    ],
)
async def test_misbehaviour_is_told_with_the_providers_name(
    kind: str, status: int, code: str, cause: str, api: Api, provider: FakeModelServer
) -> None:
    model = await api.create(api_key=CANARY)
    provider.fail(kind)
    answer = await api.test(model)
    found, message, details = said(answer)
    assert found == status, answer.text
    assert message.startswith("openai_compatible (m): ")
    assert cause in message
    assert details == {"provider": f"openai_compatible (m) {code}"}
    assert len(provider.journal()) == 1, "tried once"
    assert CANARY not in answer.text


async def test_retry_after_is_passed_on(api: Api, provider: FakeModelServer) -> None:
    model = await api.create()
    provider.fail("rate_limit", retry_after="6.2")
    answer = await api.test(model)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    assert said(answer)[2]["retry_after"] == "7 seconds"


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_refusal_is_a_502_without_the_key(status: int, api: Api, provider: FakeModelServer) -> None:
    model = await api.create(api_key=CANARY)
    provider.fail("error", status=status, message=f"bad key {CANARY}")
    answer = await api.test(model)
    assert said(answer)[:2] == (502, f"openai_compatible (m): answered {status}: bad key ***")


async def test_an_address_that_turns_out_to_be_private_is_not_called(
    api: Api, provider: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(_: object, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.2", port=port, family=socket.AF_INET, proto=0, flags=0)]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    port = provider.url.rsplit(":", 1)[1]
    model = await api.create(settings={"base_url": f"http://models.attacker.example:{port}"})
    status, message, _ = said(await api.test(model))
    assert (status, "private" in message) == (502, True)
    assert provider.journal() == []


async def test_the_openai_provider_too(api: Api, provider: FakeModelServer) -> None:
    body = {"name": "o", "provider": "openai", "model": "gpt-4o", "api_key": CANARY}
    model = (await api.call("POST", json=body | {"settings": {"base_url": provider.base_url}})).json()
    assert (await api.test(model)).status_code == 200
    assert provider.journal()[0]["headers"]["authorization"] == f"Bearer {CANARY}"
    provider.fail("error", status=401, message=f"bad key {CANARY}")
    assert said(await api.test(model))[:2] == (502, "openai (gpt-4o): answered 401: bad key ***")


async def test_a_key_that_cannot_be_read_says_so(
    api: Api, ada: Account, platform: Platform, provider: FakeModelServer
) -> None:
    one, other = await api.create(name="one", api_key=CANARY), await api.create(name="other", api_key=CANARY)
    moved = "UPDATE models SET api_key = (SELECT api_key FROM models WHERE id = :one) WHERE id = :other"
    async with platform.resources.database.write(Scope(ada.tenant_id)) as session:
        await session.execute(text(moved), {"one": one["id"], "other": other["id"]})
    answer = await api.test(other)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "model_key_unreadable")
    assert provider.journal() == []
