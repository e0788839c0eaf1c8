"""GET /models/{id}/usage, from the ledger's calls."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared.database.session import Scope
from shared.database.tables.ledger import CallRow, ExecutionRow, StepRow
from shared.kit.ids import new_id
from tests.models.conftest import Api
from tests.support.platform import Account, Platform

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


async def add_calls(platform: Platform, account: Account, *calls: dict[str, Any]) -> None:
    execution = ExecutionRow(
        id=new_id(), tenant_id=account.tenant_id, kind="workflow", name="x", spec={}, inputs={}, status="succeeded"
    )
    step = StepRow(
        id=new_id(), tenant_id=account.tenant_id, execution_id=execution.id, node="n", type="agent_task", path="",
        attempt=1, generation=1, status="succeeded",
    )  # fmt: skip
    rows = [
        CallRow(
            id=new_id(), tenant_id=account.tenant_id, execution_id=execution.id, step_id=step.id, key=str(n),
            kind="llm", effect="read", name="m", request_hash="h", **{"status": "succeeded"} | call,
        )
        for n, call in enumerate(calls)
    ]  # fmt: skip
    async with platform.resources.database.write(Scope(account.tenant_id)) as session:
        for row in (execution, step, *rows):
            session.add(row)
            await session.flush()


async def test_usage_is_summed_by_day(api: Api, ada: Account, platform: Platform) -> None:
    model, other = await api.create(name="one"), await api.create(name="other")
    one, two = UUID(model["id"]), UUID(other["id"])
    spent = {"input_tokens": 100, "output_tokens": 10, "cost": Decimal("0.000000001")}
    await add_calls(
        platform,
        ada,
        {"model_id": one, "started_at": NOON, **spent},
        {"model_id": one, "started_at": NOON.replace(hour=23, minute=59), **spent},
        {"model_id": one, "started_at": NOON + timedelta(days=2), "status": "failed"},
        {"model_id": one, "started_at": NOON + timedelta(days=40), **spent},
        {"model_id": two, "started_at": NOON, **spent},
    )
    answer = await api.call("GET", f"/{one}/usage?from=2026-03-10T00:00:00Z&to=2026-03-20T00:00:00Z")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {k: found[k] for k in ("calls", "failed_calls", "input_tokens", "output_tokens", "cost")} == {
        "calls": 3, "failed_calls": 1, "input_tokens": 200, "output_tokens": 20, "cost": "0.000000002",
    }  # fmt: skip
    assert [(day["date"], day["calls"]) for day in found["days"]] == [("2026-03-10", 2), ("2026-03-12", 1)]
    assert found["from"] == "2026-03-10T00:00:00Z"


async def test_a_model_that_was_never_called(api: Api) -> None:
    model = await api.create()
    found = (await api.call("GET", f"/{model['id']}/usage")).json()
    assert (found["calls"], found["cost"], found["days"]) == (0, "0", [])
    begin, end = (datetime.fromisoformat(found[name]) for name in ("from", "to"))
    assert end - begin == timedelta(days=30)


async def test_bad_periods_are_refused(api: Api) -> None:
    model = await api.create()
    for query in ("from=yesterday", "from=2026-01-01", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
                  "from=0001-01-01T00:00:00Z", "since=2026-01-01T00:00:00Z"):  # fmt: skip
        assert (await api.call("GET", f"/{model['id']}/usage?{query}")).status_code == 422, query
