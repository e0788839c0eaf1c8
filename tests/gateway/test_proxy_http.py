"""The proxy's HTTP side against upstreams that send exact bytes."""

import asyncio
import hashlib
import json
import random
import time

import httpx
import pytest

from gateway.middleware.errors import Errors
from gateway.pool import PoolLimits
from gateway.proxy import Proxy, Timeouts
from tests.gateway.support import Peer, Serving, connected, free_port, upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /x HTTP/1.1\r\nHost: quarterdeck.test\r\n\r\n"


async def answer_each(peer: Peer) -> None:
    while True:
        await peer.head()
        await peer.send(OK)


def client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)


async def test_request_and_response_are_passed_on_without_what_belongs_to_one_connection(serving: Serving) -> None:
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        seen.append(await peer.head())
        await peer.send(
            b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            b"Connection: X-Secret-Hop\r\nX-Secret-Hop: 1\r\nKeep-Alive: timeout=5\r\nServer: inner\r\n"
            b"Content-Length: 4\r\n\r\nbody"
        )

    async with (
        upstream(handler) as service,
        serving(Proxy("workflows", service.address)) as port,
        connected(port) as peer,
    ):
        await peer.send(
            b"GET /api/v1/a%2Fb?q=%20x HTTP/1.1\r\nHost: quarterdeck.test\r\nAccept: a/b\r\n"
            b"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n"
            b"Proxy-Authorization: secret\r\n\r\n"
        )
        head = await peer.head()
        body = await peer.exactly(4)
    request = seen[0].decode().lower()
    assert request.startswith("get /api/v1/a%2fb?q=%20x http/1.1\r\n")
    assert "host: quarterdeck.test\r\n" in request
    assert "accept: a/b\r\n" in request
    assert "x-forwarded-for: 127.0.0.1\r\n" in request
    assert "x-forwarded-proto: http\r\n" in request
    for absent in ("x-mine", "te:", "upgrade", "connection", "proxy-authorization", "content-length"):
        assert absent not in request
    assert head.startswith(b"HTTP/1.1 201")
    assert head.count(b"set-cookie: ") == 2
    assert head.lower().count(b"\r\ndate: ") == 1
    for gone in (b"x-secret-hop", b"keep-alive", b"inner"):
        assert gone not in head.lower()
    assert body == b"body"


async def test_bodies_survive_in_both_directions_and_connections_are_reused(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        while True:
            head = await peer.head()
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await asyncio.wait_for(peer.reader.readexactly(length), 10)
            digest = hashlib.sha256(body).hexdigest().encode()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n"
                + digest
                + b"\r\n%x;ext=1\r\n" % len(body)
                + body
                + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
            )

    rng = random.Random(7)
    bodies = [rng.randbytes(size) for size in (1, 60_000, 70_000, 3_000_000)]
    async with upstream(handler) as service, serving(Proxy("kb", service.address)) as port, client(port) as http:
        for body in bodies:
            response = await http.post("/up", content=body)
            assert response.content[:64].decode() == hashlib.sha256(body).hexdigest()
            assert response.content[64:] == body
            assert "x-trailer" not in response.headers
    assert service.connections == 1


async def test_a_chunked_upload_streams_while_it_is_being_sent(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        head = await peer.head()
        assert b"transfer-encoding: chunked" in head
        assert b"content-length" not in head
        first = await peer.until(b"part one\r\n")
        arrived.set()
        await peer.until(b"0\r\n\r\n")
        await peer.send(OK)
        assert first == b"8\r\npart one\r\n"

    arrived = asyncio.Event()
    async with upstream(handler) as service, serving(Proxy("kb", service.address)) as port, connected(port) as peer:
        await peer.send(b"POST /x HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.send(b"8\r\npart one\r\n")
        await asyncio.wait_for(arrived.wait(), 5)
        await peer.send(b"8\r\npart two\r\n0\r\n\r\n")
        assert (await peer.head()).startswith(b"HTTP/1.1 200")


async def test_an_event_stream_is_not_held_back(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            stamp = f"data: {time.perf_counter()}\n\n".encode()
            await peer.send(b"%x\r\n%b\r\n" % (len(stamp), stamp))
            await asyncio.sleep(0.2)
        await peer.send(b"0\r\n\r\n")

    async with (
        upstream(handler) as service,
        serving(Proxy("monitoring", service.address)) as port,
        client(port) as http,
        http.stream("GET", "/events") as response,
    ):
        delays = [
            time.perf_counter() - float(line.removeprefix("data: ")) async for line in response.aiter_lines() if line
        ]
    assert len(delays) == 3
    assert max(delays) < 0.1


@pytest.mark.parametrize("answer_begun", [True, False])
async def test_a_client_that_leaves_closes_the_connection_to_the_service(serving: Serving, answer_begun: bool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        if answer_begun:
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        asked.set()
        assert await peer.rest() == b""
        closed.set()

    asked, closed = asyncio.Event(), asyncio.Event()
    async with upstream(handler) as service, serving(Proxy("monitoring", service.address)) as port:
        async with connected(port) as peer:
            await peer.send(GET)
            await asyncio.wait_for(asked.wait(), 5)
            if answer_begun:
                await peer.until(b"hi\r\n")
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_client_that_leaves_in_the_middle_of_an_upload_closes_the_connection_to_the_service(
    serving: Serving,
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.exactly(4)
        begun.set()
        assert await peer.rest() == b""
        closed.set()

    begun, closed = asyncio.Event(), asyncio.Event()
    async with upstream(handler) as service, serving(Proxy("kb", service.address)) as port:
        async with connected(port) as peer:
            await peer.send(b"POST /x HTTP/1.1\r\nHost: q\r\nContent-Length: 100\r\n\r\nhalf")
            await asyncio.wait_for(begun.wait(), 5)
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_service_may_refuse_an_upload_before_it_has_all_of_it(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await peer.rest()

    async with upstream(handler) as service, serving(Proxy("kb", service.address)) as port:
        async with connected(port) as peer:
            await peer.send(b"POST /x HTTP/1.1\r\nHost: q\r\nContent-Length: 1000000\r\n\r\nhalf")
            assert (await peer.head()).startswith(b"HTTP/1.1 413")
            assert await peer.exactly(3) == b"big"
        async with connected(port) as peer:
            await peer.send(b"POST /x HTTP/1.1\r\nHost: q\r\nContent-Length: 1000000\r\n\r\nhalf")
            assert (await peer.head()).startswith(b"HTTP/1.1 413")
    assert service.connections == 2  # the first still owed its request's body


@pytest.mark.parametrize(
    ("method", "response", "status", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200, b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 304, b""),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, 200, b"ok"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
    ],
)
async def test_responses_whose_length_is_not_what_it_seems(
    serving: Serving, method: str, response: bytes, status: int, body: bytes
) -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.send(response)

    async with upstream(handler) as service, serving(Proxy("auth", service.address)) as port, client(port) as http:
        for _ in range(3):
            answer = await http.request(method, "/x")
            assert (answer.status_code, answer.content) == (status, body)
            assert "link" not in answer.headers
    assert service.connections == 1


async def test_a_body_that_ends_with_the_connection(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    async with upstream(handler) as service, serving(Proxy("auth", service.address)) as port, client(port) as http:
        assert (await http.get("/x")).text == "until the end"
        assert (await http.get("/x")).text == "until the end"
    assert service.connections == 2


async def test_a_connection_closed_while_idle_is_replaced_without_the_client_noticing(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await peer.head()  # takes the next request and dies without an answer
        dropped.append(1)

    dropped: list[int] = []
    async with upstream(handler) as service, serving(Proxy("auth", service.address)) as port, client(port) as http:
        assert (await http.get("/x")).text == "ok"
        assert (await http.get("/x")).text == "ok"
        assert len(dropped) == 1
        refused = await http.post("/x", content=b"pay twice?")
        assert refused.status_code == 502  # nobody knows whether it was done, so it is not done again
        assert len(dropped) == 2
    assert service.connections == 2


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (b"", 502, "upstream_failed"),
        (b"HTTP/1.1 200 OK\r\nConte", 502, "upstream_failed"),
        (None, 504, "upstream_timeout"),
    ],
)
async def test_a_service_that_does_not_answer_is_named(
    serving: Serving, script: bytes | None, status: int, code: str
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        if script is None:
            await peer.rest()
        else:
            await peer.send(script)

    async with upstream(handler) as service:
        proxy = Proxy("workflows", service.address, timeouts=Timeouts(first_byte=0.3))
        async with serving(proxy) as port, client(port) as http:
            response = await http.get("/x")
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == code
    assert "workflows" in error["message"]
    assert error["details"] == [{"field": None, "message": "workflows", "code": "service"}]


async def test_a_service_that_is_not_there_is_named(serving: Serving) -> None:
    async with serving(Proxy("models", f"http://127.0.0.1:{free_port()}")) as port, client(port) as http:
        response = await http.get("/x")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "upstream_unavailable"
    assert "models" in response.json()["error"]["message"]


async def test_more_connections_than_allowed_are_refused(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        asked.set()
        await peer.rest()

    asked = asyncio.Event()
    async with upstream(handler) as service:
        proxy = Proxy("chat", service.address, limits=PoolLimits(connections=1))
        async with serving(proxy) as port, connected(port) as first, client(port) as http:
            await first.send(GET)
            await asyncio.wait_for(asked.wait(), 5)
            assert (await http.get("/x")).status_code == 503


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("stalled", [True, False])
async def test_a_response_that_breaks_off_is_not_passed_off_as_complete(
    serving: Serving, framing: bytes, stalled: bool
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + b"4\r\nhalf\r\n")
        if stalled:
            await peer.rest()

    async with upstream(handler) as service:
        proxy = Proxy("chat", service.address, timeouts=Timeouts(between_bytes=0.3))
        async with serving(proxy) as port, client(port) as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get("/x")


async def test_a_slow_client_costs_a_bounded_amount_of_memory(serving: Serving) -> None:
    total = 64 * 1024 * 1024
    written = 0

    async def handler(peer: Peer) -> None:
        nonlocal written
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while written < total:
            await peer.send(b"x" * 65536)
            written += 65536

    async with upstream(handler) as service, serving(Proxy("kb", service.address)) as port, connected(port) as peer:
        await peer.send(GET)
        await peer.head()
        await asyncio.sleep(1)
        held = written
        assert held < 24 * 1024 * 1024  # what the kernel's socket buffers take, and little more
        await asyncio.sleep(0.3)
        assert written == held
        received = 0
        while received < total:
            received += len(await asyncio.wait_for(peer.reader.read(1 << 20), 5))
    assert received == total


async def test_answers_are_never_mixed_up(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        rng = random.Random()
        while True:
            head = await peer.head()
            wanted = head.split(b" ")[1]
            await asyncio.sleep(rng.random() * 0.01)
            if rng.random() < 0.1:
                return
            body = wanted * rng.randint(1, 2000)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with upstream(handler) as service, serving(Proxy("auth", service.address)) as port, client(port) as http:

        async def ask(number: int) -> int:
            response = await http.get(f"/{number:06}")
            if response.status_code == 200:
                assert set(response.text.split("/")[1:]) == {f"{number:06}"}
            return response.status_code

        statuses = [
            status for batch in range(10) for status in await asyncio.gather(*(ask(batch * 50 + n) for n in range(50)))
        ]
    assert set(statuses) <= {200, 502}
    assert statuses.count(200) > 400


async def test_a_path_that_two_readers_could_read_differently_is_refused() -> None:
    async def never(_: Peer) -> None:
        pytest.fail("must not be reached")

    async with upstream(never) as service:
        proxy = Proxy("auth", service.address)
        sent: list[dict[str, object]] = []
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/a\r\nX: y",
            "raw_path": b"/a\r\nX: y",
            "query_string": b"",
            "headers": [(b"host", b"q")],
        }

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        for change in (
            {},
            {"raw_path": b"/a", "headers": [(b"host", b"q"), (b"x-a", b"1\r\nx-b: 2")]},
            {"raw_path": b"/a", "headers": [(b"host", b"q"), (b"host", b"p")]},
            {"raw_path": b"/a", "headers": [(b"host", b"q/api")]},
            {"raw_path": b"/a", "headers": [(b"host", b"q"), (b"content-length", b"+5")]},
        ):
            sent.clear()
            await Errors(proxy)({**scope, **change}, receive, send)  # type: ignore[arg-type]
            assert sent[0]["status"] == 400
            assert json.loads(sent[1]["body"])["error"]["code"] == "bad_request"  # type: ignore[arg-type]
    assert service.connections == 0
