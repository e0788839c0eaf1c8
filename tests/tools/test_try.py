"""Tools in earnest, against a system that answers well and one that does not."""

import base64
import json
import re
from typing import Any

import pytest
from sqlalchemy import update

from shared.database.session import Scope
from shared.database.tables.tools import Connection
from tests.support.platform import Platform
from tests.tools.conftest import SECRET, Api

PARAMETERS = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "count": {"type": "integer", "default": 3}, "note": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
}


async def test_a_request_is_made_of_the_arguments(api: Api) -> None:
    config = {
        "method": "PATCH",
        "url": f"{api.system.url}/things/{{{{ arguments.id }}}}?a=1",
        "headers": {"X-Id": "{{ arguments.id }}", "X-Note": "{{ arguments.note }}"},
        "query": {"count": "{{ arguments.count }}", "note": "{{ arguments.note }}", "text": "n={{ arguments.count }}"},
        "json": {"id": "{{ arguments.id }}", "count": "{{ arguments.count }}", "note": "{{ arguments.note }}",
                 "list": ["{{ arguments.count + 1 }}", None, "as it is"], "text": "no {{ arguments.count }}"},
    }  # fmt: skip
    tried = await api.tried({"id": "a/b ?#ä"}, parameters=PARAMETERS, config=config)

    assert (tried["status"], tried["error"]) == (200, None)
    [asked] = api.system.journal()
    assert asked["method"] == "PATCH"
    assert asked["url"].startswith("/things/a%2Fb%20%3F%23%C3%A4?")
    assert asked["query"] == {"a": "1", "count": "3", "text": "n=3"}
    assert asked["headers"]["content-type"] == "application/json"
    assert "x-note" not in asked["headers"]
    assert json.loads(asked["body"]) == {"id": "a/b ?#ä", "count": 3, "list": [4, None, "as it is"], "text": "no 3"}
    assert asked["key"] is None, "what only reads needs no key"


async def test_a_text_is_sent_as_it_is(api: Api) -> None:
    config = {"method": "POST", "body": "id={{ arguments.id }}", "headers": {"Content-Type": "application/x-thing"}}
    await api.tried({"id": "7"}, parameters=PARAMETERS, config=config)
    [asked] = api.system.journal()
    assert (asked["body"], asked["headers"]["content-type"]) == ("id=7", "application/x-thing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "'id' is a required property"),
        ({"id": 7}, "arguments.id: 7 is not of type 'string'"),
        ({"id": "7", "x": 1}, "Additional properties"),
        ({"id": ".."}, "no . and .."),
        ({"id": "a\nX-Evil: 1"}, "one line of text"),
    ],
)
async def test_arguments_that_do_not_fit_are_said_in_words_and_nothing_is_sent(
    api: Api, arguments: dict[str, Any], message: str
) -> None:
    config = {"url": f"{api.system.url}/things/{{{{ arguments.id }}}}/x", "headers": {"X-Id": "{{ arguments.id }}"}}
    tried = await api.tried(arguments, parameters=PARAMETERS, config=config)
    assert tried["status"] is None
    assert tried["text"].startswith("Error: ")
    assert message in tried["error"]["message"]
    assert (tried["error"]["code"], tried["error"]["retryable"]) == ("tool_refused", False)
    assert api.system.journal() == []


async def test_once_is_done_only_when_it_is_confirmed_and_carries_a_key(api: Api) -> None:
    tool = await api.tool(effect="once", config={"method": "POST", "json": {}})
    for body in ({}, {"confirm": False}):
        refused = await api.call("POST", f"/tools/{tool['id']}/try", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "confirmation_needed")
    assert api.system.journal() == []
    assert (await api.try_(tool, confirm=True))["status"] == 200
    await api.try_(tool, confirm=True)
    first, second = api.system.journal()
    assert first["key"]
    assert first["key"] != second["key"], "each try is one of its own"


@pytest.mark.parametrize(
    ("rule", "status", "code", "retryable", "message"),
    [
        ({"behave": "answer", "status": 404, "text": "none such"}, 404, "tool_refused", False, "404: none such"),
        ({"behave": "answer", "status": 400}, 400, "tool_refused", False, "400: nothing more"),
        ({"behave": "answer", "status": 500, "text": "oh"}, 500, "http_500", True, "500: oh"),
        ({"behave": "answer", "status": 429}, 429, "http_429", True, "429"),
        ({"behave": "hang"}, None, "timeout", True, "within 0.3 s"),
        ({"behave": "drop"}, None, "connection_failed", True, "connection failed"),
        ({"behave": "half"}, None, "connection_failed", True, "connection failed"),
        ({"behave": "garbage"}, None, "connection_failed", True, "connection failed"),
        ({"behave": "huge", "bytes": 20_000}, None, "answer_too_large", False, "larger than 10000 bytes"),
        ({"behave": "gzip_bomb", "bytes": 5_000_000}, None, "answer_too_large", False, "larger than 10000 bytes"),
        ({"behave": "redirect", "to": "file:///etc/passwd"}, None, "redirect_refused", False, "may not go"),
        ({"behave": "redirect", "to": "http://127.0.0.1:1/"}, None, "redirect_refused", False, "may not go"),
        ({"behave": "redirect", "to": "/things"}, None, "redirect_refused", False, "more than 5 times"),
    ],
)  # fmt: skip
async def test_misbehaviour_is_told_clearly(
    api: Api, rule: dict[str, Any], status: int | None, code: str, retryable: bool, message: str
) -> None:
    api.system.script(rule)
    tried = await api.tried(config={"timeout_ms": 300, "max_bytes": 10_000})
    assert tried["status"] == status
    assert (tried["error"]["code"], tried["error"]["retryable"]) == (code, retryable)
    assert message in tried["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "body", "text", "result"),
    [
        ("text/plain; charset=latin-1", "gr\u00fcn".encode("latin-1"), "gr\u00fcn", "text"),
        ("text/plain", "gr\u00fcn".encode(), "gr\u00fcn", "text"),
        ("text/plain; charset=no-such", b"plain", "plain", "text"),
        ("text/plain", b"\xef\xbb\xbfmarked", "marked", "text"),
        ("application/json", b'{"a": [1, 2]}', '{"a":[1,2]}', "json"),
        ("text/html", b' {"a": 1}', '{"a":1}', "json"),
        ("application/json", b"null", "null", "json"),
        ("image/png", b"\x89PNG\r\n\x1a\n\x00\xff", "[image/png, 10 bytes]", "text"),
    ],
)
async def test_answers_are_read_by_what_they_are(api: Api, kind: str, body: bytes, text: str, result: str) -> None:
    api.system.script(
        {"behave": "answer", "base64": base64.b64encode(body).decode(), "headers": {"Content-Type": kind}}
    )
    assert (await api.tried(config={"result": result}))["text"] == text


async def test_what_is_not_json_is_no_json(api: Api) -> None:
    api.system.script({"behave": "answer", "text": "<html>"})
    tried = await api.tried(config={"result": "json"})
    assert "did not answer with JSON: <html>" in tried["error"]["message"]


@pytest.mark.parametrize(
    ("connection", "header", "sent"),
    [
        ({}, "authorization", f"Bearer {SECRET}"),
        (
            {"kind": "basic", "secret": f"ann:{SECRET}"},
            "authorization",
            f"Basic {base64.b64encode(f'ann:{SECRET}'.encode()).decode()}",
        ),
        ({"kind": "header", "header_name": "X-Shop"}, "x-shop", SECRET),
    ],
)
async def test_a_credential_is_sent_and_not_said_back(
    api: Api, connection: dict[str, Any], header: str, sent: str
) -> None:
    """The fake system answers with all the headers it was sent."""
    made = await api.connection(**connection)
    tried = await api.tried(config={"connection_id": made["id"]})
    assert api.system.journal()[0]["headers"][header] == sent
    assert json.loads(tried["text"])["headers"][header].endswith("[secret]")
    for form in (SECRET, sent.split()[-1]):
        assert form not in json.dumps(tried)


async def test_a_credential_goes_to_its_host_alone(api: Api) -> None:
    made = await api.connection()
    config = {"url": "{{ arguments.url }}", "connection_id": made["id"]}
    tool = await api.tool(parameters={"type": "object", "properties": {"url": {"type": "string"}}}, config=config)
    port = api.system.place.partition(":")[2]
    for url in (
        f"http://127.0.0.1:{int(port) + 1}/",
        "https://evil.example/",
        f"https://evil.example/?@{api.system.place}",
        f"https://evil.example/#{api.system.place}",
        f"http://{api.system.place}.evil.example/",
        f"https://{api.system.place}@evil.example/",
        f"https://evil.example\\@{api.system.place}/",
        f"http://localhost:{port}/",
    ):
        tried = await api.try_(tool, {"url": url})
        assert tried["error"]["code"] in ("connection_bound", "address_refused", "request_invalid", "tool_refused"), url
    assert api.system.journal() == []
    assert (await api.try_(tool, {"url": f"{api.system.url}/x"}))["status"] == 200


async def test_a_credential_does_not_travel_in_the_clear(api: Api) -> None:
    made = await api.connection(host="shop.example.com")
    config = {"url": "http://shop.example.com/", "connection_id": made["id"]}
    assert (await api.tried(config=config))["error"]["code"] == "connection_unencrypted"


async def test_a_connection_whose_secret_cannot_be_opened_says_so(api: Api, platform: Platform) -> None:
    made = await api.connection()
    tool = await api.tool(config={"connection_id": made["id"]})
    async with platform.resources.database.write(Scope(api.account.tenant_id)) as session:
        await session.execute(update(Connection).where(Connection.id == made["id"]).values(secret=b"\x01spoilt"))
    tried = await api.try_(tool)
    assert tried["error"]["code"] == "connection_unreadable"
    assert re.search("'Shop'.*enter it again", tried["error"]["message"])
    assert api.system.journal() == []
