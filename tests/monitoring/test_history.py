"""Lists, details, calls and logs through HTTP, on a seeded ledger."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import httpx
import pytest

from services.execution_monitoring.module import SERVICE
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform


@pytest.fixture
async def client(platform: Platform, ada: Account) -> httpx.AsyncClient:
    return await platform.client(SERVICE, ada)


@pytest.fixture
async def stranger(platform: Platform, bob: Account) -> httpx.AsyncClient:
    return await platform.client(SERVICE, bob)


async def ids(client: httpx.AsyncClient, path: str = "/api/v1/executions", **params: object) -> list[str]:
    answer = await client.get(path, params=params)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_the_list_pages_through_everything_once_in_both_orders(client: httpx.AsyncClient, ledger: Seeder) -> None:
    made = [str(await ledger.execution(name=f"run {n}")) for n in range(7)]
    for sort, expected in (("-created_at", made[::-1]), ("created_at", made)):
        seen: list[str] = []
        cursor: str | None = None
        pages = 0
        while pages == 0 or cursor:
            params = {"limit": 3, "sort": sort} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/api/v1/executions", params=params)).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            pages += 1
        assert seen == expected
        assert pages == 3


async def test_filters_narrow_together(client: httpx.AsyncClient, ledger: Seeder) -> None:
    workflow_id, agent_id = new_id(), new_id()
    moment = utcnow()
    day = timedelta(days=1)
    old = await ledger.execution(name="Old 100% done", status="succeeded", created_at=moment - day)
    failed = await ledger.execution(name="Failing", status="failed", workflow_id=workflow_id, created_at=moment)
    job = await ledger.execution(
        name="Job", kind="agent_job", status="queued", agent_id=agent_id, created_at=moment + day
    )

    def found(*wanted: UUID) -> list[str]:
        return [str(each) for each in wanted]

    assert await ids(client, status="failed") == found(failed)
    assert await ids(client, status=["failed", "queued"]) == found(job, failed)
    assert await ids(client, kind="agent_job") == found(job)
    assert await ids(client, workflow=str(workflow_id)) == found(failed)
    assert await ids(client, agent=str(agent_id)) == found(job)
    assert await ids(client, q="fail") == found(failed)
    assert await ids(client, q="100%") == found(old)
    assert await ids(client, q="%") == found(old)
    assert await ids(client, **{"from": moment.isoformat()}) == found(job, failed)
    assert await ids(client, to=moment.isoformat()) == found(old)
    assert await ids(client, **{"from": (moment - day).isoformat(), "to": (moment + day).isoformat()}) == found(
        failed, old
    )
    assert await ids(client, status="failed", kind="agent_job") == []


async def test_a_workflows_executions_outlive_it(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, ledger: Seeder
) -> None:
    workflow_id = new_id()
    mine = await ledger.execution(workflow_id=workflow_id)
    await ledger.execution(workflow_id=new_id())
    path = f"/api/v1/workflows/{workflow_id}/executions"
    assert await ids(client, path) == [str(mine)]
    assert await ids(client, path, workflow=str(new_id())) == [str(mine)]
    assert (await stranger.get(path)).json()["error"]["code"] == "workflow_not_found"
    assert (await client.get(f"/api/v1/workflows/{new_id()}/executions")).status_code == 404


async def test_the_detail_shows_steps_in_order_and_totals_as_recorded(
    client: httpx.AsyncClient, ledger: Seeder
) -> None:
    start = utcnow()
    agent = {"id": str(new_id()), "name": "Ida", "role": "Researcher"}
    nodes = [{"id": "research", "name": "Look it up", "type": "agent_task"}, {"id": "write", "type": "agent_task"}]
    execution_id = await ledger.execution(
        spec={"graph": {"nodes": nodes}, "agents": {agent["id"]: {**agent, "goal": "Find facts"}}},
        status="succeeded",
        inputs={"topic": "tea"},
        output={"report": "..."},
        cost=Decimal("0.001230000"),
        input_tokens=12,
        started_at=start,
        finished_at=start + timedelta(milliseconds=1500),
        correlation_id="abcdefgh",
    )
    await ledger.step(execution_id, "research", output={"text": "x"}, started_at=start, finished_at=start)
    await ledger.step(execution_id, "write", status="running", started_at=start)
    body = (await client.get(f"/api/v1/executions/{execution_id}")).json()
    assert [(step["node"], step["name"]) for step in body["steps"]] == [("research", "Look it up"), ("write", "write")]
    assert body["agents"] == [agent]
    assert body["steps"][1]["duration_ms"] is None
    assert body["inputs"] == {"topic": "tea"}
    assert body["output"] == {"report": "..."}
    assert body["cost"] == "0.00123"
    assert body["duration_ms"] == 1500
    assert body["correlation_id"] == "abcdefgh"
    assert not {"tenant_id", "spec", "epoch", "worker", "lease_until"} & set(body)


async def test_the_detail_tells_why_it_failed_with_all_that_is_known(client: httpx.AsyncClient, ledger: Seeder) -> None:
    poison = {"code": "poison", "message": "5 workers died.", "retryable": False, "running_steps": ["write"]}
    execution_id = await ledger.execution(status="failed", error=poison)
    await ledger.step(execution_id, "write", status="failed", error={"code": "poison", "message": "It died."})

    body = (await client.get(f"/api/v1/executions/{execution_id}")).json()

    assert body["error"] == poison
    assert body["steps"][0]["error"] == {"code": "poison", "message": "It died."}


async def test_calls_are_listed_in_order_and_can_be_narrowed(client: httpx.AsyncClient, ledger: Seeder) -> None:
    execution_id = await ledger.execution()
    first = await ledger.step(execution_id, "one")
    second = await ledger.step(execution_id, "two")
    made = [
        await ledger.call(execution_id, step, kind=kind, request={"n": n}, response={"text": "hi"}, input_tokens=n)
        for n, (step, kind) in enumerate([(first, "llm"), (first, "tool"), (second, "llm")])
    ]
    path = f"/api/v1/executions/{execution_id}/calls"
    assert await ids(client, path) == [str(each) for each in made]
    assert await ids(client, path, step_id=str(first), kind="llm") == [str(made[0])]
    page = (await client.get(path, params={"limit": 2})).json()
    rest = (await client.get(path, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [item["input_tokens"] for item in page["items"] + rest["items"]] == [0, 1, 2]
    assert page["items"][1]["request"] == {"n": 1}
    assert rest["next_cursor"] is None


async def test_logs_are_the_streams_log_events(client: httpx.AsyncClient, ledger: Seeder) -> None:
    execution_id = await ledger.execution()
    await ledger.append(
        execution_id,
        ("execution.status", {"status": "running"}),
        ("log", {"level": "debug", "message": "a"}),
        ("log", {"level": "warning", "message": "b", "tries": 2}),
        ("log", {"level": "strange", "message": 7}),
        ("log", {"level": "error", "message": "c"}),
    )
    path = f"/api/v1/executions/{execution_id}/logs"
    items = (await client.get(path)).json()["items"]
    assert [(item["seq"], item["level"], item["message"]) for item in items] == [
        (2, "debug", "a"),
        (3, "warning", "b"),
        (4, "info", "7"),
        (5, "error", "c"),
    ]
    assert items[1]["data"] == {"tries": 2}
    warned = (await client.get(path, params={"level": "warning"})).json()["items"]
    assert [item["message"] for item in warned] == ["b", "c"]
    page = (await client.get(path, params={"limit": 1})).json()
    following = (await client.get(path, params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert following["items"][0]["seq"] == 3


@pytest.mark.parametrize("part", ["", "/calls", "/logs", "/events"])
async def test_another_tenants_execution_is_not_there(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, ledger: Seeder, part: str
) -> None:
    execution_id = await ledger.execution(name="secret")
    answer = await stranger.get(f"/api/v1/executions/{execution_id}{part}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "execution_not_found"
    assert await ids(stranger) == []
    assert (await client.get(f"/api/v1/executions/{new_id()}{part}")).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=nonsense",
        "cursor=WyJ4Il0",
        "cursor=WzFd",
        "cursor=bnVsbA",
        "cursor=%C3%BC",
        "sort=sideways",
        "status=lost",
        "kind=chat%00",
        "workflow=7",
        "from=yesterday",
        "from=2026-01-01T00:00:00",
        "from=0001-01-01T00:00:00%2B10:00",
        "from=9999-12-31T23:59:59-10:00",
        "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "q=%00",
        "q=" + "x" * 201,
    ],
)
async def test_bad_input_is_told_apart(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/executions?{query}")
    assert answer.status_code == 422, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "details", "correlation_id"}


@pytest.mark.parametrize(
    "path", ["7", "7/calls", "7/logs", "7/events", "0189d6ab-5d5f-7d3c-8f5e-0123456789ab/events?after=-1"]
)
async def test_bad_ids_are_refused(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/api/v1/executions/{path}")).status_code == 422


async def test_nobody_gets_in_without_signing_in_and_viewers_do(
    platform: Platform, ada: Account, ledger: Seeder
) -> None:
    execution_id = await ledger.execution()
    anonymous = await platform.client(SERVICE)
    viewer = await platform.client(SERVICE, await platform.join(ada, "viewer"))
    for part in ("", f"/{execution_id}", f"/{execution_id}/calls", f"/{execution_id}/logs", f"/{execution_id}/events"):
        assert (await anonymous.get(f"/api/v1/executions{part}")).status_code == 401
        if not part.endswith("events"):
            assert (await viewer.get(f"/api/v1/executions{part}")).status_code == 200
