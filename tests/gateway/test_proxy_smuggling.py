"""What two readers could frame in two ways must not get through, in either direction."""

import asyncio

import httpx
import pytest

from gateway.proxy import Proxy
from tests.gateway.support import Peer, Serving, connected, upstream

H = b"HTTP/1.1 200 OK\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"

MALFORMED = {
    "length and chunks": H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + POISON,
    "chunks and length": H + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + POISON,
    "two lengths": H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok" + POISON,
    "list of lengths": H + b"Content-Length: 2, 2\r\n\r\nok",
    "negative length": H + b"Content-Length: -2\r\n\r\nok",
    "signed length": H + b"Content-Length: +2\r\n\r\nok",
    "hex length": H + b"Content-Length: 0x2\r\n\r\nok",
    "other encoding": H + b"Transfer-Encoding: gzip\r\n\r\nok",
    "two encodings": H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "encoding that looks like chunked": H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": H + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": H + b"Content-Length : 2\r\n\r\nok",
    "folded header": H + b"X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "carriage return in a value": H + b"X-A: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "nul in a value": H + b"X-A: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "bad header name": H + b"X@A: a\r\nContent-Length: 2\r\n\r\nok",
    "not http": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "unasked upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "interim without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20 + H + b"Content-Length: 2\r\n\r\nok",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok",
    "huge head": H + b"X-A: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "many headers": H + b"X-A: a\r\n" * 20_000 + b"Content-Length: 2\r\n\r\nok",
}

BROKEN_LATER = {
    "chunk size is no number": H + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "negative chunk": H + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
    "overflowing chunk": H + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk longer than it says": H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "chunks ended by line feeds": H + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
}

# The answer is right, but what follows it must never be taken for the answer to the next request.
FOLLOWED = {
    "a second response": H + b"Content-Length: 2\r\n\r\nok" + POISON,
    "junk": H + b"Content-Length: 2\r\n\r\nokjunk",
    "after chunks": H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + POISON,
    "after close": H + b"Connection: close\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "body of a 204": b"HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\npoisoned" + POISON,
    "body of a 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\npoisoned" + POISON,
}


def client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5)


def scripted(response: bytes, *, pieces: int = 1):
    """Answers the first connection with `response`, in so many pieces, and the others well."""
    connections = 0

    async def handler(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        script = response if connections == 1 else H + b"Content-Length: 5\r\n\r\nclean"
        size = -(-len(script) // pieces)
        await peer.head()
        for start in range(0, len(script), size):
            await peer.send(script[start : start + size])
            await asyncio.sleep(0 if pieces == 1 else 0.002)
        await peer.rest()

    return handler


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_response_is_a_502_and_ends_its_connection(serving: Serving, name: str, pieces: int) -> None:
    async with (
        upstream(scripted(MALFORMED[name], pieces=pieces)) as service,
        serving(Proxy("auth", service.address)) as port,
        client(port) as http,
    ):
        refused = await http.get("/x")
        assert refused.status_code == 502
        assert refused.json()["error"]["code"] == "upstream_failed"
        assert (await http.get("/x")).text == "clean"
    assert service.connections == 2


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("name", BROKEN_LATER)
async def test_a_body_that_is_framed_wrongly_is_cut_short(serving: Serving, name: str, pieces: int) -> None:
    async with (
        upstream(scripted(BROKEN_LATER[name], pieces=pieces)) as service,
        serving(Proxy("auth", service.address)) as port,
        client(port) as http,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/x")
        assert (await http.get("/x")).text == "clean"
    assert service.connections == 2


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("name", FOLLOWED)
async def test_what_follows_a_response_is_never_the_next_answer(serving: Serving, name: str, pieces: int) -> None:
    async with (
        upstream(scripted(FOLLOWED[name], pieces=pieces)) as service,
        serving(Proxy("auth", service.address)) as port,
        client(port) as http,
    ):
        first = await http.get("/x")
        assert first.text in ("ok", "")
        await asyncio.sleep(0.05)
        assert (await http.get("/x")).text == "clean"


async def test_the_body_of_an_answer_to_head_is_never_the_next_answer(serving: Serving) -> None:
    async with (
        upstream(scripted(H + b"Content-Length: 5\r\n\r\nhello" + POISON)) as service,
        serving(Proxy("auth", service.address)) as port,
        client(port) as http,
    ):
        assert (await http.head("/x")).text == ""
        assert (await http.get("/x")).text == "clean"
    assert service.connections == 2


async def test_what_an_idle_connection_says_unasked_is_never_an_answer(serving: Serving) -> None:
    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.send(H + b"Content-Length: 2\r\n\r\nok")
        await asyncio.sleep(0.05)
        await peer.send(POISON)
        await peer.rest()

    async with upstream(handler) as service, serving(Proxy("auth", service.address)) as port, client(port) as http:
        assert (await http.get("/x")).text == "ok"
        await asyncio.sleep(0.2)
        assert (await http.get("/x")).text == "ok"
    assert service.connections == 2


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: q\r\n\r\n"
HOSTILE_REQUESTS = {
    "length and chunks": b"POST /x HTTP/1.1\r\nHost: q\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /x HTTP/1.1\r\nHost: q\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n",
    "obscured encoding": b"POST /x HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "tab before encoding": b"POST /x HTTP/1.1\r\nHost: q\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "encoding not last": b"POST /x HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space before the colon": b"POST /x HTTP/1.1\r\nHost: q\r\nContent-Length : 35\r\n\r\n",
    "bare carriage return": b"POST /x HTTP/1.1\r\nHost: q\r\nX-A: a\rContent-Length: 35\r\n\r\n",
    "bare line feed": b"POST /x HTTP/1.1\nHost: q\nContent-Length: 35\n\n",
    "folded": b"POST /x HTTP/1.1\r\nHost: q\r\nX-A: a\r\n Content-Length: 35\r\n\r\n",
    "space in the target": b"GET /x y HTTP/1.1\r\nHost: q\r\n\r\n",
    "two hosts": b"GET /x HTTP/1.1\r\nHost: q\r\nHost: p\r\n\r\n",
    "a host that is a path": b"GET /x HTTP/1.1\r\nHost: q/api/v1/other\r\n\r\n",
    "chunk size is no number": b"POST /x HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("name", HOSTILE_REQUESTS)
async def test_a_request_in_a_request_never_reaches_a_service(serving: Serving, name: str) -> None:
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        while True:
            seen.append(await peer.head())
            await peer.send(H + b"Content-Length: 2\r\n\r\nok")

    async with (
        upstream(handler) as service,
        serving(Proxy("auth", service.address)) as port,
        connected(port) as peer,
    ):
        await peer.send(HOSTILE_REQUESTS[name])
        # Sent a moment later, so that our own server's pipelining is not what is measured.
        status = (await peer.head()).split(b" ")[1]
        await peer.send(SMUGGLED)
        await asyncio.sleep(0.1)
    assert status == b"400"
    assert not [head for head in seen if b"Content-Length: 35" in head or b"chunked" in head.lower()]
    assert len(seen) <= 1


async def test_an_absolute_target_and_a_pipelined_pair_stay_what_they_are(serving: Serving) -> None:
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        while True:
            head = await peer.head()
            seen.append(head.split(b"\r\n")[0])
            path = head.split(b" ")[1]
            await peer.send(H + b"Content-Length: %d\r\n\r\n" % len(path) + path)

    async with (
        upstream(handler) as service,
        serving(Proxy("auth", service.address)) as port,
        connected(port) as peer,
    ):
        await peer.send(
            b"GET http://elsewhere.test/one?q=1 HTTP/1.1\r\nHost: q\r\n\r\nGET /two HTTP/1.1\r\nHost: q\r\n\r\n"
        )
        await peer.until(b"/one?q=1")
        await peer.until(b"/two")
    assert seen == [b"GET /one?q=1 HTTP/1.1", b"GET /two HTTP/1.1"]
