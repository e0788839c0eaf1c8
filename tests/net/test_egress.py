"""The SSRF corpus: whatever form an inside address takes, no connection to it is even begun."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.net.addresses import is_public
from shared.net.fetch import Fetched, FetchFailed, Limits, fetch
from shared.net.policy import EgressPolicy, UrlRefused
from shared.net.session import open_session

INSIDE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255",
    "240.0.0.1", "168.63.129.16", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "ff02::1", "2001:db8::1", "100::1", "fec0::1",
    "not an address", "",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", INSIDE)
def test_inside_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_internet_addresses_are_public(address: str) -> None:
    assert is_public(address)


class Names(AbstractResolver):
    """A name server under an attacker's control: answers each lookup with the next of its answers."""

    def __init__(self, answers: dict[str, list[str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            return await aiohttp.ThreadedResolver().resolve(host, port, family)
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        pass


class _Dialled:
    """Every address any socket of this process was told to connect to, seen by an audit hook."""

    def __init__(self) -> None:
        self.addresses: list[Any] = []
        self.on = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and event == "socket.connect":
            self.addresses.append(args[1])

    @contextmanager
    def watched(self) -> Iterator[list[Any]]:
        self.addresses = []
        self.on = True
        try:
            yield self.addresses
        finally:
            self.on = False


DIALLED = _Dialled()


@pytest.fixture
async def inside() -> AsyncIterator[tuple[int, list[str]]]:
    """A private service, and what it was asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        match request.path:
            case "/loop":
                raise web.HTTPFound("/loop")
            case "/big":
                return web.Response(body=b"x" * 300_000)
            case "/slow":
                await asyncio.sleep(1)
            case "/to":
                raise web.HTTPFound(request.query["url"])
            case "/headers":
                return web.json_response(dict(request.headers))
            case _:
                pass
        return web.Response(text="secret")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], asked
    await runner.cleanup()


async def _try(url: str, policy: EgressPolicy, names: Names, **options: Any) -> Fetched:
    async with open_session(policy, resolver=names) as session:
        return await fetch(session, policy, "GET", url, **options)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
        "localhost", "localhost.", "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]", "0.0.0.0", "0", "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "inside.attacker.example", "mapped.attacker.example", "nat64.attacker.example", "127.0.0.1.",
        "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u24dbocalhost",
    ],
)  # fmt: skip
async def test_no_form_of_an_inside_address_is_dialled(host: str, inside: tuple[int, list[str]]) -> None:
    port, asked = inside
    names = Names(
        {
            "inside.attacker.example": ["127.0.0.1"],
            "mapped.attacker.example": ["::ffff:127.0.0.1"],
            "nat64.attacker.example": ["64:ff9b::7f00:1"],
        }
    )
    with DIALLED.watched() as dialled, pytest.raises((FetchFailed, UrlRefused)):
        await _try(f"http://{host}:{port}/", EgressPolicy(), names)
    assert dialled == []
    assert asked == []


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://x/", "//x/", "http://", "http://a:b@x/", "http://x:99999/",
     "http://127.1/", "http://0x7f.1/", "http://2130706433/", "http://0x7f000001/", "http://1.2.3.4.5/",
     "unix:///run/x", "javascript:alert(1)", "http:///x", ""],
)  # fmt: skip
async def test_other_schemes_and_credentials_are_refused(url: str) -> None:
    with DIALLED.watched() as dialled, pytest.raises(UrlRefused):
        await _try(url, EgressPolicy(), Names({}))
    assert dialled == []


async def test_a_name_that_changes_its_answer_is_checked_each_time(inside: tuple[int, list[str]]) -> None:
    port, asked = inside
    names = Names({"rebind.example": ["127.0.0.1", "10.0.0.1"]})
    policy = EgressPolicy()
    async with open_session(policy, resolver=names) as session:
        with DIALLED.watched() as dialled:
            for _ in range(3):
                with pytest.raises(FetchFailed, match="private"):
                    await fetch(session, policy, "GET", f"http://rebind.example:{port}/")
    assert dialled == []
    assert asked == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{other}/", "http://2130706433:{other}/", "http://inside.example:{other}/", "file:///etc/passwd"]
)  # fmt: skip
async def test_redirects_are_checked_again(target: str, inside: tuple[int, list[str]]) -> None:
    port, asked = inside
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        policy = EgressPolicy([f"door.example:{port}"])
        names = Names({"door.example": ["127.0.0.1"], "inside.example": ["127.0.0.1"]})
        url = target.format(other=other.getsockname()[1])
        with DIALLED.watched() as dialled, pytest.raises(FetchFailed):
            await _try(f"http://door.example:{port}/to?url={url}", policy, names)
        assert dialled == [("127.0.0.1", port)]
        assert asked == ["/to"]


async def test_the_operator_can_allow_an_endpoint_and_only_that(inside: tuple[int, list[str]]) -> None:
    port, _ = inside
    for entry in (f"127.0.0.1:{port}", "127.0.0.1:*"):
        assert (await _try(f"http://127.0.0.1:{port}/", EgressPolicy([entry]), Names({}))).body == b"secret"
    with pytest.raises(UrlRefused, match="private"):
        await _try(f"http://127.0.0.1:{port}/", EgressPolicy([f"127.0.0.1:{port + 1}"]), Names({}))
    with pytest.raises(FetchFailed, match="private"):
        await _try(
            f"http://other.example:{port}/", EgressPolicy(["door.example:*"]), Names({"other.example": ["127.0.0.1"]})
        )


async def test_credentials_stay_with_their_origin(inside: tuple[int, list[str]]) -> None:
    port, _ = inside
    policy = EgressPolicy(["a.example:*", "b.example:*"])
    names = Names({"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]})
    url = f"http://a.example:{port}/to?url=http://b.example:{port}/headers"
    answer = await _try(url, policy, names, headers={"Authorization": "Bearer s3cret", "X-Kept": "yes"})
    assert b"s3cret" not in answer.body
    assert b"X-Kept" in answer.body


async def test_a_credential_stays_with_its_origin_whatever_its_header_is_called(inside: tuple[int, list[str]]) -> None:
    port, _ = inside
    policy = EgressPolicy(["a.example:*", "b.example:*"])
    names = Names({"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]})
    given = {"X-Shop-Token": "s3cret", "X-Shop-Session": "s3cret", "Api_Key": "s3cret", "Private-Auth": "s3cret"}
    for target, stays in (("b.example", False), ("a.example", True)):
        url = f"http://a.example:{port}/to?url=http://{target}:{port}/headers"
        answer = await _try(url, policy, names, headers=given, credentials={"X-Odd": "0dd"})
        assert (answer.body.count(b"s3cret"), b"0dd" in answer.body) == ((4, True) if stays else (0, False))


async def test_redirects_and_slow_bodies_share_one_deadline(inside: tuple[int, list[str]]) -> None:
    port, asked = inside
    url = f"http://127.0.0.1:{port}/to?url=http://127.0.0.1:{port}/slow"
    with pytest.raises(FetchFailed, match=r"within 0\.5 s"):
        await _try(url, EgressPolicy(["127.0.0.1:*"]), Names({}), limits=Limits(timeout=0.5))
    assert asked == ["/to", "/slow"]


async def test_size_time_and_redirects_are_bounded(inside: tuple[int, list[str]]) -> None:
    port, _ = inside
    policy = EgressPolicy(["127.0.0.1:*"])
    limits = Limits(max_bytes=100_000, max_redirects=3, timeout=0.3)
    for path, reason in (("big", "larger than"), ("slow", r"within 0\.3 s"), ("loop", "more than 3 times")):
        with pytest.raises(FetchFailed, match=reason):
            await _try(f"http://127.0.0.1:{port}/{path}", policy, Names({}), limits=limits)


@pytest.mark.parametrize("entry", ["localhost", "host:", ":80", "host:http", "host:80:x"])
def test_a_malformed_allow_list_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        EgressPolicy([entry])


def test_the_setting_and_the_local_model_are_both_allowed() -> None:
    policy = EgressPolicy.from_setting("10.0.0.5:8000, [::1]:9000", "http://127.0.0.1:8080/v1", "")
    assert policy.names("10.0.0.5", 8000)
    assert policy.names("::1", 9000)
    assert policy.names("127.0.0.1", 8080)
    assert not policy.names("127.0.0.1", 8081)
