"""Reports through HTTP, compared with the same figures worked out in Python from what was seeded."""

import csv
import io
import random
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.analytics.module import SERVICE
from shared.database.tables.agents import Agent
from shared.database.tables.models import Model
from shared.database.tables.workflows import Workflow
from shared.kit.ids import new_id
from shared.workflow.states import ExecutionKind, ExecutionStatus
from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PERIOD = {"from": START.isoformat(), "to": (START + 10 * DAY).isoformat()}
ENDS = ("succeeded", "failed", "cancelled")


@dataclass
class SeededCall:
    model_id: UUID | None
    agent_id: UUID | None
    failed: bool
    tokens: tuple[int, int]
    cost: Decimal
    ms: int


@dataclass
class SeededExecution:
    status: str
    kind: str
    workflow_id: UUID | None
    created_at: datetime
    ms: int | None
    calls: list[SeededCall] = field(default_factory=list[SeededCall])

    @property
    def in_period(self) -> bool:
        return START <= self.created_at < START + 10 * DAY


def percentile(values: list[int], percent: int) -> int:
    """By linear interpolation between the two nearest."""
    if len(values) < 2:
        return values[0] if values else 0
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1])


@pytest.fixture
async def client(platform: Platform, ada: Account) -> httpx.AsyncClient:
    return await platform.client(SERVICE, ada)


async def report(client: httpx.AsyncClient, name: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/analytics/{name}", params=PERIOD | params)
    assert answer.status_code == 200, answer.text
    return answer.json()


class World:
    """A tenant with some history; what is in the database is also here."""

    def __init__(self, platform: Platform, account: Account, seed: int) -> None:
        self._rng = random.Random(seed)
        self._seeder = Seeder(platform.resources, account.tenant_id)
        self._account = account
        self.models = {new_id(): "fast", new_id(): "clever"}
        self.agents = {new_id(): "Writer", new_id(): "Reader"}
        self.workflows = {new_id(): "Report", new_id(): "=cmd|' /C calc'!A0", new_id(): "Unused"}
        self.executions: list[SeededExecution] = []

    async def populate(self, count: int) -> None:
        await self._add_names()
        for _ in range(count):
            execution = self._invent()
            self.executions.append(execution)
            await self._write(execution)

    @property
    def counted(self) -> list[SeededExecution]:
        return [execution for execution in self.executions if execution.in_period]

    async def _add_names(self) -> None:
        tenant_id = self._account.tenant_id
        async with self._seeder.database.write(self._seeder.scope) as session:
            for id_, name in self.models.items():
                session.add(
                    Model(
                        id=id_,
                        tenant_id=tenant_id,
                        name=name,
                        provider="openai",
                        model=name,
                        settings={},
                        context_window=1,
                        supports_tools=True,
                    )
                )
            await session.flush()  # agents refer to models
            for id_, name in self.workflows.items():
                session.add(Workflow(id=id_, tenant_id=tenant_id, name=name, description="", latest_version=1))
            for id_, name in self.agents.items():
                session.add(
                    Agent(
                        id=id_,
                        tenant_id=tenant_id,
                        name=name,
                        role="r",
                        goal="g",
                        backstory="b",
                        model_id=next(iter(self.models)),
                        suggested_prompts=[],
                        tools=[],
                        max_iterations=5,
                        allow_delegation=False,
                    )
                )

    def _invent(self) -> SeededExecution:
        rng = self._rng
        status = rng.choice([*ENDS, "succeeded", "succeeded", "running", "queued"])
        calls = [
            SeededCall(
                model_id=rng.choice([*self.models, None]),
                agent_id=rng.choice([*self.agents, None]),
                failed=rng.random() < 0.2,
                tokens=(rng.randint(0, 5000), rng.randint(0, 900)),
                cost=Decimal(rng.randint(0, 10**7)).scaleb(-9),
                ms=rng.randint(1, 9000),
            )
            for _ in range(rng.randint(0, 4))
        ]
        return SeededExecution(
            status=status,
            kind=rng.choice(list(ExecutionKind)).value,
            workflow_id=rng.choice([*list(self.workflows)[:2], None]),
            created_at=START + rng.randint(-2 * 24, 12 * 24) * timedelta(hours=1),
            ms=rng.randint(1, 600_000) if status in ENDS else None,
            calls=calls,
        )

    async def _write(self, execution: SeededExecution) -> None:
        started = execution.created_at + timedelta(seconds=1)
        execution_id = await self._seeder.execution(
            status=execution.status,
            kind=execution.kind,
            workflow_id=execution.workflow_id,
            created_at=execution.created_at,
            started_at=None if execution.status == "queued" else started,
            finished_at=None if execution.ms is None else started + timedelta(milliseconds=execution.ms),
            input_tokens=sum(call.tokens[0] for call in execution.calls),
            output_tokens=sum(call.tokens[1] for call in execution.calls),
            cost=sum((call.cost for call in execution.calls), Decimal(0)),
            call_count=len(execution.calls),
        )
        step_id = await self._seeder.step(execution_id, "one")
        for call in execution.calls:
            await self._seeder.call(
                execution_id,
                step_id,
                model_id=call.model_id,
                agent_id=call.agent_id,
                status="failed" if call.failed else "succeeded",
                input_tokens=call.tokens[0],
                output_tokens=call.tokens[1],
                cost=call.cost,
                started_at=started,
                finished_at=started + timedelta(milliseconds=call.ms),
            )


@pytest.fixture
async def world(platform: Platform, ada: Account, bob: Account) -> World:
    # A neighbour with a history of his own, which must not show.
    await World(platform, bob, seed=99).populate(15)
    world = World(platform, ada, seed=5)
    await world.populate(70)
    assert 30 < len(world.counted) < len(world.executions)
    return world


async def test_the_summary_equals_what_was_seeded(client: httpx.AsyncClient, world: World) -> None:
    counted = world.counted
    body = await report(client, "summary")
    assert datetime.fromisoformat(body["from"]) == START
    statuses = [execution.status for execution in counted]
    ended = [status for status in statuses if status in ENDS]
    assert body["executions"]["total"] == len(counted)
    assert body["executions"]["by_status"] == {status.value: statuses.count(status.value) for status in ExecutionStatus}
    kinds = [execution.kind for execution in counted]
    assert body["executions"]["by_kind"] == {kind.value: kinds.count(kind.value) for kind in ExecutionKind}
    assert body["executions"]["success_rate"] == round(ended.count("succeeded") / len(ended), 4)
    durations = [execution.ms for execution in counted if execution.ms is not None]
    assert body["duration_ms"] == {
        "p50": percentile(durations, 50),
        "p95": percentile(durations, 95),
        "max": max(durations),
    }
    calls = [call for execution in counted for call in execution.calls]
    assert body["calls"] == len(calls)
    inputs, outputs = sum(call.tokens[0] for call in calls), sum(call.tokens[1] for call in calls)
    assert body["tokens"] == {"input": inputs, "output": outputs, "total": inputs + outputs}
    assert Decimal(body["cost"]) == sum(call.cost for call in calls)
    assert body["workflows_used"] == len({execution.workflow_id for execution in counted} - {None})


async def test_workflow_performance_equals_what_was_seeded(client: httpx.AsyncClient, world: World) -> None:
    body = await report(client, "workflow-performance")
    assert {item["workflow_name"] for item in body["items"]} == set(list(world.workflows.values())[:2])
    counts = [item["executions"] for item in body["items"]]
    assert counts == sorted(counts, reverse=True)
    for item in body["items"]:
        mine = [each for each in world.counted if str(each.workflow_id) == item["workflow_id"]]
        statuses = [each.status for each in mine]
        ended = [status for status in statuses if status in ENDS]
        durations = [each.ms for each in mine if each.ms is not None]
        cost = sum((call.cost for each in mine for call in each.calls), Decimal(0))
        assert item["executions"] == len(mine)
        assert {status: item[status] for status in ENDS} == {status: statuses.count(status) for status in ENDS}
        assert item["open"] == len(statuses) - len(ended)
        assert item["success_rate"] == round(ended.count("succeeded") / len(ended), 4)
        assert item["duration_ms_p50"] == percentile(durations, 50)
        assert item["duration_ms_p95"] == percentile(durations, 95)
        assert item["input_tokens"] == sum(call.tokens[0] for each in mine for call in each.calls)
        assert Decimal(item["cost"]) == cost
        assert abs(Decimal(item["cost_per_execution"]) - cost / len(mine)) < Decimal("1e-9")
        assert datetime.fromisoformat(item["last_execution_at"]) == max(each.created_at for each in mine)
    assert len((await report(client, "workflow-performance", limit=1))["items"]) == 1


@pytest.mark.parametrize("group_by", ["model", "agent", "workflow"])
async def test_resource_usage_equals_what_was_seeded(client: httpx.AsyncClient, world: World, group_by: str) -> None:
    body = await report(client, "resource-usage", group_by=group_by)
    names = {"model": world.models, "agent": world.agents, "workflow": world.workflows}[group_by]
    pairs = [(number, each, call) for number, each in enumerate(world.counted) for call in each.calls]

    def group(execution: SeededExecution, call: SeededCall) -> UUID | None:
        return execution.workflow_id if group_by == "workflow" else getattr(call, f"{group_by}_id")

    costs = [Decimal(item["cost"]) for item in body["items"]]
    assert costs == sorted(costs, reverse=True)
    assert len(body["items"]) == len({group(each, call) for _, each, call in pairs})
    for item in body["items"]:
        id_ = UUID(item["id"]) if item["id"] else None
        mine = [(number, call) for number, each, call in pairs if group(each, call) == id_]
        assert item["name"] == (names[id_] if id_ else None)
        assert item["executions"] == len({number for number, _ in mine})
        assert item["calls"] == len(mine)
        assert item["failed_calls"] == sum(call.failed for _, call in mine)
        assert item["input_tokens"] == sum(call.tokens[0] for _, call in mine)
        assert item["output_tokens"] == sum(call.tokens[1] for _, call in mine)
        assert Decimal(item["cost"]) == sum(call.cost for _, call in mine)
        assert item["duration_ms_p95"] == percentile([call.ms for _, call in mine], 95)
    for name in ("calls", "failed_calls", "input_tokens", "output_tokens"):
        assert body["totals"][name] == sum(item[name] for item in body["items"])
    narrow = await report(client, "resource-usage", group_by=group_by, limit=1)
    assert narrow["totals"] == body["totals"]
    assert narrow["items"] == body["items"][:1]
    summary = await report(client, "summary")
    assert body["totals"]["cost"] == summary["cost"]
    assert body["totals"]["calls"] == summary["calls"]


async def test_what_is_gone_keeps_its_recorded_name(
    client: httpx.AsyncClient, platform: Platform, ada: Account
) -> None:
    ledger = Seeder(platform.resources, ada.tenant_id)
    workflow_id, model_id, agent_id = new_id(), new_id(), new_id()
    execution_id = await ledger.execution(name="Once was", workflow_id=workflow_id, created_at=START)
    step_id = await ledger.step(execution_id, "one")
    await ledger.call(execution_id, step_id, name="old-model", model_id=model_id, agent_id=agent_id)
    performance = await report(client, "workflow-performance")
    assert performance["items"][0]["workflow_name"] == "Once was"
    assert performance["items"][0]["success_rate"] == 0
    by_model = await report(client, "resource-usage")
    assert (by_model["items"][0]["id"], by_model["items"][0]["name"]) == (str(model_id), "old-model")
    by_agent = await report(client, "resource-usage", group_by="agent")
    assert (by_agent["items"][0]["id"], by_agent["items"][0]["name"]) == (str(agent_id), None)


async def test_periods_that_follow_one_another_count_everything_once(client: httpx.AsyncClient, world: World) -> None:
    totals = []
    for number in range(10):
        edges = {"from": (START + number * DAY).isoformat(), "to": (START + (number + 1) * DAY).isoformat()}
        totals.append((await report(client, "summary", **edges))["executions"]["total"])
    assert sum(totals) == (await report(client, "summary"))["executions"]["total"]


async def test_the_same_moment_in_another_time_zone_is_the_same_period(client: httpx.AsyncClient, world: World) -> None:
    shifted = {"from": "2026-02-28T19:00:00-05:00", "to": "2026-03-11T05:30:00+05:30"}
    answer = await client.get("/api/v1/analytics/summary", params=shifted)
    assert answer.json() == await report(client, "summary")


async def test_an_empty_tenant_has_zeros(client: httpx.AsyncClient) -> None:
    body = (await client.get("/api/v1/analytics/summary")).json()
    assert body["executions"]["total"] == 0
    assert set(body["executions"]["by_status"].values()) == {0}
    assert body["executions"]["success_rate"] == 0
    assert body["duration_ms"] == {"p50": 0, "p95": 0, "max": 0}
    assert body["tokens"] == {"input": 0, "output": 0, "total": 0}
    assert body["cost"] == "0"
    assert datetime.fromisoformat(body["to"]) - datetime.fromisoformat(body["from"]) == timedelta(days=30)
    assert (await client.get("/api/v1/analytics/workflow-performance")).json()["items"] == []
    usage = (await client.get("/api/v1/analytics/resource-usage")).json()
    assert usage["items"] == []
    assert usage["totals"] == {
        "executions": 0,
        "calls": 0,
        "failed_calls": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost": "0",
    }


async def test_tables_for_spreadsheets(client: httpx.AsyncClient, world: World) -> None:
    for name, key in (("workflow-performance", "workflow_id"), ("resource-usage", "id")):
        answer = await client.get(f"/api/v1/analytics/{name}", params=PERIOD, headers={"Accept": "text/csv"})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        items = (await report(client, name))["items"]
        assert [row[key] or None for row in rows] == [item[key] for item in items]
        assert list(rows[0]) == list(items[0])
    names = [row["workflow_name"] for row in csv.DictReader(io.StringIO((await performance_table(client)).text))]
    assert "'=cmd|' /C calc'!A0" in names  # text, not a formula
    both = await client.get("/api/v1/analytics/resource-usage", headers={"Accept": "application/json, text/csv"})
    assert both.headers["content-type"] == "application/json"


async def performance_table(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/api/v1/analytics/workflow-performance", params=PERIOD, headers={"Accept": "text/csv"})


@pytest.mark.parametrize("name", ["summary", "workflow-performance", "resource-usage"])
@pytest.mark.parametrize(
    "query",
    [
        "from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
        "from=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z",
        "from=2026-03-01T00:00:00&to=2026-03-02T00:00:00",
        "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2999-01-01T00:00:00Z",
        "to=0001-01-01T00:00:00Z",
        "to=0001-01-01T00:00:00%2B10:00",
        "from=9999-12-30T00:00:00Z&to=9999-12-31T23:59:59-10:00",
        "from=yesterday",
        "to=2026-13-01T00:00:00Z",
        "from=%00",
    ],
)
async def test_what_is_no_period_is_refused(client: httpx.AsyncClient, name: str, query: str) -> None:
    answer = await client.get(f"/api/v1/analytics/{name}?{query}")
    assert answer.status_code == 422, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "details", "correlation_id"}


@pytest.mark.parametrize("query", ["group_by=planet", "limit=0", "limit=201", "limit=many"])
async def test_bad_parameters_are_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/api/v1/analytics/resource-usage?{query}")).status_code == 422


async def test_who_may_look(platform: Platform, ada: Account) -> None:
    anonymous = await platform.client(SERVICE)
    viewer = await platform.client(SERVICE, await platform.join(ada, "viewer"))
    for name in ("summary", "workflow-performance", "resource-usage"):
        assert (await anonymous.get(f"/api/v1/analytics/{name}")).status_code == 401
        assert (await viewer.get(f"/api/v1/analytics/{name}")).status_code == 200
