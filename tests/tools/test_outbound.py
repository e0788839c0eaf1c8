"""Requests of tools and nodes: no packet goes inside, and no credential to where it does not belong."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.orchestration.adapters.http import OutboundHttp
from services.orchestration.adapters.tools import ProductTools
from services.orchestration.engine.ports import CallFailed, Effect, HttpReply, HttpRequest, ToolContext
from shared.database.session import Scope
from shared.database.tables.tools import Connection
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.net.policy import EgressPolicy
from shared.tools.connections import ConnectionKind, secret_place
from shared.tools.outbound import Outbound, sendable_key
from tests.fakes.http_system import FakeHttpSystem
from tests.net.test_egress import DIALLED, Names, inside
from tests.support.platform import Account, Platform
from tests.tools.conftest import SECRET

__all__ = ["inside"]

NO_KNOWLEDGE: Any = None


def request(url: str, **changes: Any) -> HttpRequest:
    given = {"method": "GET", "headers": {}, "body": None, "effect": Effect.READ, "timeout": 2.0, "max_bytes": 10_000}
    return HttpRequest(url=url, **given | changes)


def definition(url: str, **config: Any) -> JsonObject:
    return {
        "id": str(uuid4()),
        "kind": "http",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"url": {"type": "string"}}},
        "effect": "read",
        "needs_approval": False,
        "config": {"url": url, "timeout_ms": 2_000, **config},
    }


class Bench:
    """Both ways out, with a name server of the test's own."""

    def __init__(self, platform: Platform, account: Account, allowed: list[str], names: Names) -> None:
        resources = platform.resources
        self._platform = platform
        self.tenant_id = account.tenant_id
        self.outbound = Outbound(resources.database, resources.cipher, EgressPolicy(allowed), resolver=names)

    async def http(self, url: str, **changes: Any) -> HttpReply:
        return await OutboundHttp(self.outbound).send(self.tenant_id, request(url, **changes), "a-key")

    async def tool(self, url: str, arguments: JsonObject | None = None, **config: Any) -> str:
        context = ToolContext(self.tenant_id, uuid4(), (), "a-key", definition=definition(url, **config))
        return (await ProductTools(NO_KNOWLEDGE, self.outbound).call("look", arguments or {}, context)).text

    async def connection(self, host: str, kind: str = "bearer", header_name: str | None = None) -> UUID:
        resources = self._platform.resources
        id_ = new_id()
        row = Connection(
            id=id_,
            tenant_id=self.tenant_id,
            name=f"C {id_}",
            host=host,
            kind=ConnectionKind(kind),
            header_name=header_name,
            secret=resources.cipher.seal(SECRET, secret_place(self.tenant_id, id_)),
        )
        async with resources.database.write(Scope(self.tenant_id)) as session:
            session.add(row)
        return id_


@pytest.fixture
async def bench(platform: Platform, ada: Account) -> AsyncGenerator[Bench]:
    names = {
        name: ["127.0.0.1"] for name in ("inside.attacker.example", "shop.example", "other.example", "third.example")
    }
    names["mapped.attacker.example"] = ["::ffff:127.0.0.1"]
    names["rebind.attacker.example"] = ["127.0.0.1", "10.0.0.1"]
    made = Bench(platform, ada, ["shop.example:*", "other.example:*"], Names(names))
    yield made
    await made.outbound.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "localhost.", "[::1]",
        "[::ffff:127.0.0.1]", "0.0.0.0", "0", "[::]", "[64:ff9b::7f00:1]", "inside.attacker.example",
        "mapped.attacker.example", "rebind.attacker.example", "169.254.169.254", "10.0.0.1",
        "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u24dbocalhost",
    ],
)  # fmt: skip
async def test_no_way_out_leads_inside(host: str, bench: Bench, inside: tuple[int, list[str]]) -> None:
    port, asked = inside
    url = f"http://{host}:{port}/"
    with DIALLED.watched() as dialled:
        for way_out in (
            bench.http(url),
            bench.tool(url),
            bench.tool("{{ arguments.url }}", {"url": url}),
            bench.tool("http://{{ arguments.url }}/x", {"url": f"{host}:{port}"}),
        ):
            with pytest.raises(CallFailed) as failed:
                await way_out
            assert failed.value.code in ("address_refused", "address_blocked", "request_invalid", "connection_failed")
    assert [address for address in dialled if address[1] == port] == []
    assert asked == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://127.0.0.1/", "//x/", "http://", "http://a:b@shop.example/", "", "data:x"]
)
async def test_what_is_no_http_url_is_refused(url: str, bench: Bench) -> None:
    with pytest.raises(CallFailed) as failed:
        await bench.http(url)
    assert (failed.value.code, failed.value.retryable) == ("address_refused", False)


async def test_a_redirect_leads_nowhere_inside(
    bench: Bench, inside: tuple[int, list[str]], system: FakeHttpSystem
) -> None:
    port, asked = inside
    other = system.place.partition(":")[2]
    for target in (f"http://127.0.0.1:{other}/", f"http://third.example:{other}/", "file:///etc/passwd"):
        with pytest.raises(CallFailed, match=r"private|may not go"):
            await bench.http(f"http://shop.example:{port}/to?url={target}")
    assert asked == ["/to"] * 3
    assert system.journal() == []


@pytest.mark.parametrize(("kind", "header"), [("bearer", None), ("header", "X-Shop"), ("basic", None)])
async def test_a_redirect_takes_no_credential_to_another_host(
    kind: str, header: str | None, bench: Bench, system: FakeHttpSystem
) -> None:
    """Whatever its header is called; to the same host it goes along."""
    port = system.place.partition(":")[2]
    id_ = await bench.connection(f"shop.example:{port}", kind, header)
    for host, taken in (("other.example", False), ("shop.example", True)):
        system.reset()
        system.script({"behave": "redirect", "path": "/from", "to": f"http://{host}:{port}/to"})
        headers = {"X-Api-Key": "k", "X-Other-Token": "t", "Accept": "text/plain"}
        reply = await bench.http(f"http://shop.example:{port}/from", connection_id=id_, headers=headers)
        assert reply.status == 200
        first, second = (entry["headers"] for entry in system.journal())
        assert (header or "authorization").lower() in first
        assert second["accept"] == "text/plain"
        for name in ((header or "authorization").lower(), "x-api-key", "x-other-token"):
            assert (name in second) is taken, (host, name)


async def test_a_redirect_back_does_not_bring_the_credential_back(bench: Bench, system: FakeHttpSystem) -> None:
    port = system.place.partition(":")[2]
    id_ = await bench.connection(f"shop.example:{port}")
    system.script(
        {"behave": "redirect", "path": "/1", "to": f"http://other.example:{port}/2"},
        {"behave": "redirect", "path": "/2", "to": f"http://shop.example:{port}/3"},
    )
    await bench.http(f"http://shop.example:{port}/1", connection_id=id_)
    assert ["authorization" in entry["headers"] for entry in system.journal()] == [True, False, False]


async def test_a_post_is_not_sent_on(bench: Bench, system: FakeHttpSystem) -> None:
    port = system.place.partition(":")[2]
    system.script({"behave": "redirect", "to": f"http://other.example:{port}/to"})
    reply = await bench.http(f"http://shop.example:{port}/", method="POST", body={"a": 1}, effect=Effect.ONCE)
    assert reply.status == 302
    assert len(system.journal()) == 1


async def test_another_tenant_cannot_use_a_connection(
    bench: Bench, platform: Platform, bob: Account, system: FakeHttpSystem
) -> None:
    port = system.place.partition(":")[2]
    id_ = await bench.connection(f"shop.example:{port}")
    theirs = Bench(platform, bob, ["shop.example:*"], Names({"shop.example": ["127.0.0.1"]}))
    with pytest.raises(CallFailed) as failed:
        await theirs.http(f"http://shop.example:{port}/", connection_id=id_)
    await theirs.outbound.close()
    assert failed.value.code == "connection_missing"
    assert system.journal() == []


@pytest.mark.parametrize(("effect", "key"), [(Effect.READ, None), (Effect.IDEMPOTENT, "a-key"), (Effect.ONCE, "a-key")])
async def test_the_idempotency_key_is_sent_with_what_changes_something(
    effect: Effect, key: str | None, bench: Bench, system: FakeHttpSystem
) -> None:
    port = system.place.partition(":")[2]
    await bench.http(f"http://shop.example:{port}/", method="POST", body="x", effect=effect)
    assert [entry["key"] for entry in system.journal()] == [key]


def test_a_key_that_no_header_takes_is_sent_as_its_hash() -> None:
    assert sendable_key("e:n::1//http/0") == "e:n::1//http/0"
    for odd in ("e:n::1/Übung/http/0", "x" * 256, "a\nb"):
        assert len(sendable_key(odd)) == 64
        assert sendable_key(odd) == sendable_key(odd)


@pytest.mark.parametrize(
    ("status", "headers", "retryable", "wait"),
    [
        (404, {}, False, None),
        (429, {"Retry-After": "7"}, True, 7.0),
        (503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, True, 0.0),
        (503, {"Retry-After": "soon"}, True, None),
        (500, {"Retry-After": "999999"}, True, 3600.0),
    ],
)
async def test_a_status_can_be_a_failure(
    status: int, headers: dict[str, str], retryable: bool, wait: float | None, bench: Bench, system: FakeHttpSystem
) -> None:
    port = system.place.partition(":")[2]
    system.script({"behave": "answer", "status": status, "text": "no", "headers": headers})
    assert (await bench.http(f"http://shop.example:{port}/")).status == status
    with pytest.raises(CallFailed) as failed:
        await bench.http(f"http://shop.example:{port}/", fail_on_status=True)
    failure = failed.value
    assert (failure.code, failure.source) == (f"http_{status}", "shop.example")
    assert (failure.retryable, failure.retry_after) == (retryable, wait)
    assert failure.details == {"status": status}


async def test_an_agent_is_told_in_words_what_it_asked_wrongly(bench: Bench, system: FakeHttpSystem) -> None:
    port = system.place.partition(":")[2]
    system.script({"behave": "answer", "status": 404, "text": "no such order"})
    tools = ProductTools(NO_KNOWLEDGE, bench.outbound)
    stored = definition(f"http://shop.example:{port}/")
    context = ToolContext(bench.tenant_id, uuid4(), (), "k", definition=stored, agent_id=uuid4())
    assert (await tools.call("look", {}, context)).text == "Error: shop.example answered 404: no such order"
    assert (await tools.call("look", {"url": 1}, context)).text.startswith("Error: arguments.url: 1 is not")
    system.script({"behave": "answer", "status": 503})
    with pytest.raises(CallFailed) as failed:
        await tools.call("look", {}, context)
    assert (failed.value.code, failed.value.source, failed.value.retryable) == ("http_503", "look", True)


async def test_a_definition_of_another_time_is_a_clear_failure(bench: Bench) -> None:
    context = ToolContext(bench.tenant_id, uuid4(), (), "k", definition={"kind": "soap"})
    with pytest.raises(CallFailed) as failed:
        await ProductTools(NO_KNOWLEDGE, bench.outbound).call("look", {}, context)
    assert failed.value.code == "tool_unknown"
