"""What a caller hears who got the request itself wrong, whichever service it went to."""

import httpx
import pytest

from services.agents.module import SERVICE
from shared.web.errors import validation_message
from tests.support.platform import Account, Platform

AGENTS = "/api/v1/agents"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def client(platform: Platform, ada: Account) -> httpx.AsyncClient:
    return await platform.client(SERVICE, ada)


async def test_a_wrong_method_is_told_all_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.delete(AGENTS)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (
        "method_not_allowed",
        "This path does not take DELETE, but GET, POST.",
    )


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_that_does_not_say_it_is_json_is_told_to(
    client: httpx.AsyncClient, media_type: str | None
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await client.post(AGENTS, content=b'{"name":"a"}', headers=headers)

    assert answer.status_code == 415
    error = answer.json()["error"]
    assert error["code"] == "unsupported_media_type"
    assert "`Content-Type: application/json`" in error["message"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"name": }', "json_invalid", "not JSON, at character 9: Expecting value"),
        (b"", "missing", "a JSON body is required"),
        (b"[]", "model_attributes_type", "Input should be an object"),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_why(
    client: httpx.AsyncClient, body: bytes, code: str, message: str
) -> None:
    answer = await client.post(AGENTS, content=body, headers=JSON)

    assert answer.status_code == 422
    assert answer.json()["error"]["details"] == [{"field": None, "message": message, "code": code}]


def test_no_message_is_for_python_programmers_only() -> None:
    for said, plain in (
        ("Input should be a valid dictionary", "Input should be an object"),
        ("Value error, must not be blank", "must not be blank"),
        ("Input should have timezone info", "Name the time zone too, as in 2027-01-31T09:00:00Z"),
    ):
        assert validation_message({"msg": said}) == plain


async def test_a_cursor_of_elsewhere_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get(AGENTS, params={"cursor": "elsewhere"})

    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == "query.cursor"
