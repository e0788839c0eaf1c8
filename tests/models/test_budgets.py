"""Budgets through the API, and what reserving and settling make of them."""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select, text

from services.models.module import SERVICE
from services.orchestration.adapters.budgets import PostgresBudgets
from services.orchestration.engine.ports import Charge, Usage
from shared.database.session import Scope
from shared.database.tables.budgets import Budget, BudgetReservation
from shared.database.tables.ledger import ExecutionRow
from shared.kit.ids import new_id
from tests.executions.support import LedgerView, owner_connection, queue
from tests.support.away import database_away
from tests.support.platform import Account, Platform

BUDGETS = "/api/v1/budgets"
GIVEN = {"name": "Month", "scope": "tenant", "period": "month", "tokens": 1000}


@pytest.fixture
async def client(platform: Platform, ada: Account) -> httpx.AsyncClient:
    return await platform.client(SERVICE, ada)


@pytest.fixture
async def budgets(platform: Platform) -> AsyncGenerator[PostgresBudgets]:
    port = PostgresBudgets(platform.resources.database)
    yield port
    await port.close()


def charge(**more: Any) -> Charge:
    execution = more.pop("execution_id", None) or new_id()
    given: dict[str, Any] = {
        "call_id": new_id(),
        "execution_id": execution,
        "root_id": execution,
        "own": False,
        "workflow_id": None,
        "agent_id": None,
        "model_id": None,
        "tokens": 100,
        "cost": Decimal("0.01"),
    }
    return Charge(**given | more)


async def create(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(BUDGETS, json=GIVEN | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_budget_is_kept_changed_found_and_taken_away(client: httpx.AsyncClient) -> None:
    made = await create(client, cost="12.5", on_exceeded="wait")
    assert (made["cost"], made["on_exceeded"], made["calls"], made["enabled"]) == ("12.5", "wait", None, True)
    assert made["spent"] == made["reserved"] == {"tokens": 0, "cost": "0", "calls": 0}
    assert made["period_ends_at"].endswith("-01T00:00:00Z")
    assert (await client.get(f"{BUDGETS}/{made['id']}")).json() == made
    changed = await client.put(f"{BUDGETS}/{made['id']}", json=GIVEN | {"period": "total", "calls": 5})
    assert (changed.json()["calls"], changed.json()["cost"], changed.json()["period_ends_at"]) == (5, None, None)
    assert [each["id"] for each in (await client.get(BUDGETS, params={"q": "mon"})).json()["items"]] == [made["id"]]
    assert (await client.get(BUDGETS, params={"scope": "agent"})).json()["items"] == []
    assert (await client.delete(f"{BUDGETS}/{made['id']}")).status_code == 204
    assert (await client.get(f"{BUDGETS}/{made['id']}")).json()["error"]["code"] == "budget_not_found"


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": None},
        {"scope": "agent"},
        {"scope_id": "0195d8d4-0000-7000-8000-000000000000"},
        {"scope": "model", "scope_id": "0195d8d4-0000-7000-8000-000000000000"},
        {"tokens": -1},
        {"scope": "execution"},
    ],
)
async def test_what_makes_no_budget_is_refused(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    answer = await client.post(BUDGETS, json=GIVEN | wrong)
    assert answer.status_code == 422, answer.text
    assert (await client.get(BUDGETS)).json()["items"] == []


async def test_names_are_the_tenants_own(platform: Platform, client: httpx.AsyncClient, ada: Account, bob: Account):
    made = await create(client)
    assert (await client.post(BUDGETS, json=GIVEN)).json()["error"]["code"] == "budget_name_taken"
    assert (await client.post(BUDGETS, json=GIVEN, headers=bob.headers)).status_code == 201
    assert (await client.get(f"{BUDGETS}/{made['id']}", headers=bob.headers)).status_code == 404
    editor = await platform.join(ada, "editor")
    assert (await client.get(BUDGETS, headers=editor.headers)).status_code == 200
    assert (await client.post(BUDGETS, json=GIVEN, headers=editor.headers)).status_code == 403


async def test_what_calls_under_way_may_use_is_held_back(
    client: httpx.AsyncClient, ada: Account, budgets: PostgresBudgets
) -> None:
    made = await create(client, tokens=250)
    first, second, third = charge(), charge(), charge()
    assert await budgets.reserve(ada.tenant_id, first) is None
    assert await budgets.reserve(ada.tenant_id, second) is None
    refused = await budgets.reserve(ada.tenant_id, third)
    assert refused is not None
    assert (refused.budget_id, refused.limit, refused.spent["tokens"]) == (UUID(made["id"]), {"tokens": 250}, 200)

    budgets.settle(ada.tenant_id, first.call_id, Usage(10, 20, Decimal("0.5")))
    await budgets.close()
    assert await budgets.reserve(ada.tenant_id, third) is None
    shown = (await client.get(f"{BUDGETS}/{made['id']}")).json()
    assert shown["spent"] == {"tokens": 30, "cost": "0.5", "calls": 1}
    assert shown["reserved"] == {"tokens": 200, "cost": "0.02", "calls": 2}
    assert await budgets.reserve(ada.tenant_id, charge(), force=True) is None


async def test_many_calls_at_once_never_hold_back_more_than_there_is(
    client: httpx.AsyncClient, ada: Account, budgets: PostgresBudgets
) -> None:
    made = await create(client, calls=7)
    answers = await asyncio.gather(*(budgets.reserve(ada.tenant_id, charge()) for _ in range(40)))
    assert sum(answer is None for answer in answers) == 7
    assert (await client.get(f"{BUDGETS}/{made['id']}")).json()["reserved"]["calls"] == 7


async def test_only_what_a_budget_covers_counts(
    client: httpx.AsyncClient, ada: Account, budgets: PostgresBudgets, platform: Platform
) -> None:
    model = (await client.get("/api/v1/models")).json()["items"][0]["id"]
    await create(client, scope="model", scope_id=model, calls=1)
    assert await budgets.reserve(ada.tenant_id, charge(model_id=UUID(model))) is None
    assert await budgets.reserve(ada.tenant_id, charge(model_id=new_id())) is None
    refused = await budgets.reserve(ada.tenant_id, charge(model_id=UUID(model)))
    assert refused is not None
    assert not refused.asks_a_person


async def test_a_call_made_again_takes_the_place_of_its_first_reservation(
    client: httpx.AsyncClient, ada: Account, budgets: PostgresBudgets
) -> None:
    made = await create(client, calls=1)
    call = charge()
    for _ in range(3):
        assert await budgets.reserve(ada.tenant_id, call) is None
    budgets.settle(ada.tenant_id, call.call_id, Usage(1, 1))
    budgets.settle(ada.tenant_id, call.call_id, Usage(1, 1))
    await budgets.close()
    shown = (await client.get(f"{BUDGETS}/{made['id']}")).json()
    assert (shown["spent"]["calls"], shown["reserved"]["calls"]) == (1, 0)


async def test_an_executions_own_budget_is_shared_by_its_children_and_what_is_left_over_is_reconciled(
    platform: Platform, ada: Account, budgets: PostgresBudgets
) -> None:
    root, scope = new_id(), Scope(tenant_id=ada.tenant_id)
    async with platform.resources.database.write(scope) as session:
        row = ExecutionRow(id=root, tenant_id=ada.tenant_id, kind="workflow", name="r", spec={}, inputs={})
        row.budget = {"calls": 2, "on_exceeded": "wait"}
        session.add(row)
    of_child = {"execution_id": new_id(), "root_id": root, "own": True}
    assert await budgets.reserve(ada.tenant_id, charge(execution_id=root, root_id=root, own=True)) is None
    assert await budgets.reserve(ada.tenant_id, charge(**of_child)) is None
    refused = await budgets.reserve(ada.tenant_id, charge(**of_child))
    assert refused is not None
    assert refused.asks_a_person

    async with platform.resources.database.write(scope) as session:
        assert await session.scalar(text("SELECT budget_reconcile(0)")) >= 2  # what other tests left, too
        assert await session.scalar(select(func.count()).select_from(BudgetReservation)) == 0
        assert await session.scalar(select(func.count()).select_from(Budget)) == 1
        await session.execute(text("DELETE FROM executions"))
        await session.execute(text("SELECT budget_reconcile(0)"))
        assert await session.scalar(select(func.count()).select_from(Budget)) == 0


@pytest.mark.parametrize("moment", ["reserve", "settle", "recover"])
async def test_a_database_that_is_away_is_waited_for(
    platform: Platform, client: httpx.AsyncClient, ada: Account, budgets: PostgresBudgets, moment: str
) -> None:
    """A call is neither refused nor its step failed, and what it used is counted."""
    made = await create(client)
    call = charge()
    if moment != "reserve":
        await budgets.reserve(ada.tenant_id, call)
    async with database_away(platform):
        match moment:
            case "reserve":
                doing = asyncio.create_task(budgets.reserve(ada.tenant_id, call))
            case "recover":
                doing = asyncio.create_task(budgets.recover(ada.tenant_id, call.execution_id))
            case _:
                budgets.settle(ada.tenant_id, call.call_id, Usage(10, 20))
                doing = asyncio.create_task(budgets.close())
        await asyncio.sleep(0.5)
        assert not doing.done()
    assert await asyncio.wait_for(doing, 10) is None
    shown = (await client.get(f"{BUDGETS}/{made['id']}")).json()
    reserved, spent = {"reserve": (100, 0), "settle": (0, 30), "recover": (0, 0)}[moment]
    assert (shown["reserved"]["tokens"], shown["spent"]["tokens"]) == (reserved, spent)


async def test_what_is_just_being_taken_up_is_not_reconciled(
    platform: Platform, client: httpx.AsyncClient, ada: Account, budgets: PostgresBudgets
) -> None:
    """Whoever claims it holds its row, and reserves for calls of its own next."""
    made = await create(client)
    row = await queue(platform, ada)
    await budgets.reserve(ada.tenant_id, charge(execution_id=row.id))
    view = LedgerView(await owner_connection(platform))
    try:
        async with view.connection.transaction():
            await view.run("UPDATE executions SET status = 'running' WHERE id = $1", row.id)
            async with platform.resources.database.write(Scope()) as session:
                await asyncio.wait_for(session.scalar(text("SELECT budget_reconcile(0)")), 5)
        assert (await client.get(f"{BUDGETS}/{made['id']}")).json()["reserved"]["calls"] == 1
        await view.run("UPDATE executions SET status = 'cancelled' WHERE id = $1", row.id)
        async with platform.resources.database.write(Scope()) as session:
            await session.scalar(text("SELECT budget_reconcile(0)"))
        assert (await client.get(f"{BUDGETS}/{made['id']}")).json()["reserved"]["calls"] == 0
    finally:
        await view.connection.close()
