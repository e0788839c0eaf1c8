"""The gateway's promises, the same whether the services are in its process or behind the network."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.middleware import body_limit
from gateway.middleware.body_limit import KIB, MIB
from gateway.routing import TABLE
from services.auth.module import SERVICE as AUTH
from shared.kit.settings import Settings
from tests.gateway.fronts import FRONTS, Front
from tests.gateway.support import connected
from tests.support.platform import Account, Platform

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
APP = "https://app.example.com"


@pytest.fixture(scope="module", params=list(FRONTS))
def front(request: pytest.FixtureRequest, settings: Settings) -> Generator[Front]:
    changed = settings.model_copy(
        update={
            "cors_origins": f"{APP}, https://other.example.com",
            "rate_limit_anonymous": "100000/minute",
            "rate_limit_credentials": "1000/minute",
        }
    )
    with FRONTS[request.param](changed) as front:
        yield front


@pytest.fixture
async def client(front: Front, ada: Account) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=front.url, headers=ada.headers, timeout=10) as client:
        yield client


@pytest.fixture
async def anonymous(front: Front) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=front.url, timeout=10) as client:
        yield client


def received(answer: httpx.Response) -> dict[str, str]:
    """The headers that reached the service."""
    pairs = answer.json()["headers"]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "correlation_id"}
    assert error["correlation_id"] == answer.headers["x-correlation-id"]
    return error


async def test_the_correlation_id_is_one_from_end_to_end(client: httpx.AsyncClient) -> None:
    for sent, kept in (("trace-0123.abc", True), ("short", False), ("x" * 65, False), ("has space in", False)):
        answer = await client.get("/api/v1/models/x", headers={"X-Correlation-Id": sent})
        value = answer.headers["x-correlation-id"]
        assert (value == sent) == kept
        assert received(answer)["x-correlation-id"] == value
    made = [(await client.get("/api/v1/models/x")).headers["x-correlation-id"] for _ in range(2)]
    assert made[0] != made[1]
    assert error_of(await client.get("/api/v1/nothing", headers={"X-Correlation-Id": "trace-0123"}))[
        "correlation_id"
    ] == ("trace-0123")


async def test_claims_of_identity_do_nothing(client: httpx.AsyncClient, ada: Account) -> None:
    forged = {
        "X-User-Id": "root",
        "X-User": "root",
        "X_User_Id": "root",
        "X-Tenant-Id": "other",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-User": "root",
        "Forwarded": "for=203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "X-Remote-User": "root",
    }
    answer = await client.get("/api/v1/models/x", headers=forged)
    seen = received(answer)
    assert not {"root", "other", "203.0.113.9", "evil.test", "for=203.0.113.9"} & set(seen.values())
    assert seen.get("x-forwarded-for", "127.0.0.1") == "127.0.0.1"
    assert answer.json()["principal"] in (None, str(ada.user_id))
    me = await client.get("/api/v1/users/me", headers=forged)
    assert me.json()["id"] == str(ada.user_id)


async def test_nobody_gets_to_a_service_without_signing_in(front: Front, anonymous: httpx.AsyncClient) -> None:
    before = front.echo.requests
    for route in TABLE:
        if route.public:
            continue
        path = route.path.replace("{}", "x").replace("/**", "/x")
        method = next((method for method in ("POST", "GET") if not route.methods or method in route.methods), "GET")
        for headers in (
            {},
            {"Authorization": "Bearer nonsense"},
            {"Authorization": "Bearer qd_00000000000000000000000000000000_x"},
            {"Authorization": "Basic YTpi"},
            {"Authorization": "Bearer " + "x" * 9000},
        ):
            answer = await anonymous.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert error_of(answer)["code"] == "not_authenticated"
            assert answer.headers["www-authenticate"] == "Bearer"
    assert front.echo.requests == before


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/auth/login%2f..%2f..%2fmodels",
        "/api/v1/auth/login/%2e%2e/%2e%2e/models",
        "/api/v1/auth/login/",
        "/api/v1/auth/login%0a",
        "/api/v1/auth/login;x=/../models",
        "/.well-known/jwks.json%2f..%2f..%2fapi/v1/models",
        "/api/v1/docs%2f..%2fmodels",
        "/API/V1/models",
        "//api/v1/models",
        "/api//v1/models",
        "/api/v1%2fmodels",
        "/healthz/../api/v1/models",
    ],
)
async def test_no_spelling_of_a_path_goes_round_the_door(front: Front, path: str) -> None:
    """As it is written, which a client that tidies paths up would not do."""
    before = front.echo.requests
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.read()).split(b" ", 2)[1])
    writer.close()

    assert status in (401, 404)
    assert front.echo.requests == before


async def test_of_two_credentials_none_counts(client: httpx.AsyncClient, ada: Account, bob: Account) -> None:
    headers = [("Authorization", ada.headers["Authorization"]), ("Authorization", bob.headers["Authorization"])]
    async with httpx.AsyncClient(base_url=client.base_url, headers=headers) as both:
        assert (await both.get("/api/v1/users/me")).status_code == 401


async def test_tokens_and_keys_open_the_door(anonymous: httpx.AsyncClient, platform: Platform, ada: Account) -> None:
    auth = await platform.client(AUTH, ada)
    key = (await auth.post("/api/v1/api-keys", json={"name": "k", "scopes": ["models:read"]})).json()["key"]
    for credential in (ada.token, key):
        answer = await anonymous.get("/api/v1/users/me", headers={"Authorization": f"Bearer {credential}"})
        assert answer.status_code == 200
        assert answer.json()["id"] == str(ada.user_id)


async def test_what_is_public_needs_no_credential(anonymous: httpx.AsyncClient) -> None:
    jwks = await anonymous.get("/.well-known/jwks.json")
    assert jwks.json()["keys"]
    wrong = await anonymous.post("/api/v1/auth/login", json={"email": "a@example.com", "password": "wrong password"})
    assert wrong.status_code == 401
    assert error_of(wrong)["code"] == "wrong_credentials"
    for path in ("/healthz", "/readyz", "/api/v1/openapi.json", "/api/v1/docs"):
        assert (await anonymous.get(path)).status_code == 200
        assert (await anonymous.head(path)).content == b""
        assert error_of(await anonymous.post(path))["code"] == "method_not_allowed"


async def test_every_answer_carries_security_headers(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    for answer in (
        await client.get("/api/v1/models/x"),
        await client.get("/api/v1/nothing"),
        await anonymous.get("/api/v1/models"),
        await anonymous.get("/healthz"),
    ):
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers.get_list(name) == [value]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert len(answer.headers.get_list("date")) == 1
    async with client.stream("GET", "/api/v1/models/stream") as stream:
        assert stream.headers.get_list("cache-control") == ["no-cache"]  # what a service says itself stays


async def test_what_goes_wrong_inside_stays_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/models/broken")
    assert answer.status_code == 500
    assert "secret inside" not in answer.text


async def test_unknown_paths_and_sockets_are_told_so(front: Front, client: httpx.AsyncClient, ada: Account) -> None:
    assert error_of(await client.get("/api/v1/nothing"))["code"] == "not_found"
    assert (await client.get("/metrics")).status_code == 404
    for path, headers, status in (
        ("/api/v1/nothing/ws", ada.headers, 404),
        ("/api/v1/executions/x/ws", {}, 401),
        ("/healthz", {}, 404),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{front.port}{path}", additional_headers=headers, proxy=None)
        response = refused.value.response
        assert response.status_code == status
        assert json.loads(response.body or b"")["error"]["correlation_id"] == response.headers["x-correlation-id"]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
async def test_methods_that_are_not_ours_reach_no_service(front: Front, ada: Account, method: str) -> None:
    before = front.echo.requests
    async with connected(front.port) as peer:
        await peer.send(f"{method} /api/v1/models HTTP/1.1\r\nHost: q\r\n{_authorization(ada)}\r\n".encode())
        assert (await peer.head()).split(b" ")[1] in (b"400", b"405")
    assert front.echo.requests == before


async def test_a_websocket_goes_through(front: Front, ada: Account) -> None:
    url = f"ws://127.0.0.1:{front.port}/api/v1/executions/x/ws"
    async with connect(url, additional_headers=ada.headers, proxy=None) as socket:
        await socket.send("hello")
        assert await asyncio.wait_for(socket.recv(), 5) == "hello"


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/api/v1/models", MIB),
        ("/api/v1/auth/login", 16 * KIB),
        ("/api/v1/workflows/import", 16 * MIB),
    ],
)
async def test_bodies_have_a_limit_however_they_are_sent(client: httpx.AsyncClient, path: str, limit: int) -> None:
    async def chunks(size: int) -> AsyncGenerator[bytes]:
        for start in range(0, size, 50_000):
            yield b" " * min(50_000, size - start)

    for body in (b" " * (limit + 1), chunks(limit + 1)):
        answer = await client.post(path, content=body)
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "too_large"
    for body in (b" " * limit, chunks(limit)):
        answer = await client.post(path, content=body)
        assert answer.status_code != 413
        if "auth" not in path:
            assert answer.json()["body"] == limit


async def test_a_body_declared_too_large_is_not_waited_for(front: Front, ada: Account) -> None:
    async with connected(front.port) as peer:
        head = f"POST /api/v1/models HTTP/1.1\r\nHost: q\r\n{_authorization(ada)}Content-Length: 99999999999\r\n\r\n"
        await peer.send(head.encode())
        assert (await peer.head()).startswith(b"HTTP/1.1 413")


async def test_a_body_that_stops_coming_is_not_waited_for_for_ever(
    front: Front, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "PATIENCE_SECONDS", 0.5)
    for framing, part in (("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")):
        async with connected(front.port) as peer:
            request = f"POST /api/v1/models HTTP/1.1\r\nHost: q\r\n{_authorization(ada)}{framing}\r\n\r\n{part}"
            await peer.send(request.encode())
            assert (await peer.head()).startswith(b"HTTP/1.1 408")


async def test_uploads_may_be_large(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/knowledge-bases/x/documents", content=b" " * (20 * MIB))
    assert answer.json()["body"] == 20 * MIB


async def test_allowed_origins_may_use_credentials(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    preflight = await anonymous.options(
        "/api/v1/models",
        headers={
            "Origin": APP,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization, idempotency-key, content-type",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == APP
    assert preflight.headers["access-control-allow-credentials"] == "true"
    answer = await client.get("/api/v1/models/x", headers={"Origin": APP, "Cookie": "a=b"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert "X-Correlation-Id" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]
    refused = await anonymous.get("/api/v1/models", headers={"Origin": APP})
    assert refused.headers["access-control-allow-origin"] == APP  # the page can read why


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", "http://[", f"{APP}.evil.test", "https://app.example.com:444"]
)
async def test_foreign_origins_are_turned_away(front: Front, client: httpx.AsyncClient, origin: str) -> None:
    before = front.echo.requests
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = await client.options("/api/v1/models", headers=asked)
    assert preflight.status_code == 403
    with_cookie = await client.post("/api/v1/models", headers={"Origin": origin, "Cookie": "quarterdeck_refresh=x"})
    assert error_of(with_cookie)["code"] == "foreign_origin"
    assert front.echo.requests == before
    without = await client.get("/api/v1/models/x", headers={"Origin": origin})
    assert "access-control-allow-origin" not in without.headers


async def test_pages_of_this_very_host_are_no_foreigners(client: httpx.AsyncClient, front: Front) -> None:
    answer = await client.get("/api/v1/models/x", headers={"Origin": front.url, "Cookie": "a=b"})
    assert answer.status_code == 200


async def test_a_streams_first_byte_comes_at_once_and_its_readers_leave_is_noticed(
    front: Front, client: httpx.AsyncClient
) -> None:
    left = front.echo.left
    await client.get("/api/v1/models/x")
    delays: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        async with client.stream("GET", "/api/v1/models/stream") as stream:
            assert await anext(stream.aiter_bytes()) == b"data: first\n\n"
            delays.append(time.perf_counter() - started)
    assert min(delays) < 0.05
    async with asyncio.timeout(3):
        while front.echo.left < left + 5:  # noqa: ASYNC110 - it is on another thread
            await asyncio.sleep(0.02)


async def test_the_query_and_encoded_paths_arrive_as_they_were_sent(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/models/a%2Fb?x=%20&y=a+b")
    assert answer.json()["path"] == "/api/v1/models/a/b"
    assert answer.json()["query"] == "x=%20&y=a+b"


async def test_readiness_tells_of_the_database(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/readyz")).json() == {"status": "ok", "database": "ok", "redis": "ok"}


def _authorization(account: Account) -> str:
    return f"Authorization: {account.headers['Authorization']}\r\n"
