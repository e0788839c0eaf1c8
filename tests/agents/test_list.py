import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.web.pagination import encode_cursor
from tests.agents.conftest import Things
from tests.agents.test_agents import AGENTS, body, make
from tests.support.platform import Account


async def names(client: httpx.AsyncClient, account: Account, **query: Any) -> list[str]:
    """Of all pages, two agents on each."""
    found: list[str] = []
    query |= {"limit": 2}
    while True:
        answer = await client.get(AGENTS, params=query, headers=account.headers)
        assert answer.status_code == 200, answer.text
        found += [agent["name"] for agent in answer.json()["items"]]
        if answer.json()["next_cursor"] is None:
            return found
        query["cursor"] = answer.json()["next_cursor"]


async def test_pages_in_each_order(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    model = await things.model(ada)
    made = [await make(client, ada, model, name=name) for name in ("bee", "Ant", "cat", "ant", "ant")]
    await client.put(f"{AGENTS}/{made[2]['id']}", json=body(model, name="cat"), headers=ada.headers)

    assert await names(client, ada) == ["ant", "ant", "cat", "Ant", "bee"]
    assert await names(client, ada, sort="created_at") == ["bee", "Ant", "cat", "ant", "ant"]
    assert (await names(client, ada, sort="-updated_at"))[0] == "cat"
    by_name = await names(client, ada, sort="name")
    assert sorted(by_name) == sorted(["bee", "Ant", "cat", "ant", "ant"])
    assert await names(client, ada, sort="-name") == by_name[::-1]


async def test_filters_hold_together(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    small, large, base = await things.model(ada), await things.model(ada), await things.knowledge_base(ada)
    await asyncio.gather(
        make(client, ada, small, name="Plain"),
        make(client, ada, large, name="Reckoner", tools=["calculator"]),
        make(
            client, ada, large, name="Reader", tools=["calculator", "text_statistics"], knowledge_base_ids=[str(base)]
        ),
    )

    assert sorted(await names(client, ada, model_id=large)) == ["Reader", "Reckoner"]
    assert sorted(await names(client, ada, tool="calculator")) == ["Reader", "Reckoner"]
    assert await names(client, ada, tool="text_statistics", model_id=large) == ["Reader"]
    assert await names(client, ada, knowledge_base_id=base) == ["Reader"]
    assert await names(client, ada, knowledge_base_id=uuid4()) == []


async def test_words_are_looked_for_in_name_description_and_role(
    client: httpx.AsyncClient, ada: Account, things: Things
) -> None:
    model = await things.model(ada)
    await make(client, ada, model, name="Alpha 100%")
    await make(client, ada, model, name="Beta", description="knows the ALPHABET")
    await make(client, ada, model, name="Gamma", role="alpha tester")

    assert sorted(await names(client, ada, q="alpha")) == ["Alpha 100%", "Beta", "Gamma"]
    assert await names(client, ada, q="100%") == ["Alpha 100%"]
    assert await names(client, ada, q="%") == ["Alpha 100%"]
    assert await names(client, ada, q="_") == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"sort": "role"},
        {"model_id": "x"},
        {"knowledge_base_id": "x"},
        {"q": "x" * 201},
        {"cursor": "nonsense"},
        {"cursor": "WyJ4IiwieSJd"},
        {"cursor": "bnVsbA"},
        {"cursor": encode_cursor("nul\x00", uuid4()), "sort": "name"},
        {"cursor": encode_cursor("9" * 400, uuid4())},
        {"q": "nul\x00"},
        {"tool": "nul\x00"},
    ],
)
async def test_queries_that_cannot_be(client: httpx.AsyncClient, ada: Account, query: dict[str, Any]) -> None:
    answer = await client.get(AGENTS, params=query, headers=ada.headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid"


async def test_a_cursor_of_another_order_is_refused(client: httpx.AsyncClient, ada: Account, things: Things) -> None:
    model = await things.model(ada)
    for name in ("one", "two"):
        await make(client, ada, model, name=name)
    first = await client.get(AGENTS, params={"limit": 1, "sort": "name"}, headers=ada.headers)

    crossed = await client.get(AGENTS, params={"cursor": first.json()["next_cursor"]}, headers=ada.headers)

    assert crossed.status_code == 422
