"""Telling endpoints that executions ended: what is sent, to whom, and until when it is tried."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from services.orchestration.engine.ports import ExecutionStatus, LedgerBatch, Transition
from services.orchestration.module import SERVICE as ORCHESTRATION
from services.orchestration.worker.deliveries import PAUSES, Deliveries, Outcome, next_pause
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.net.policy import EgressPolicy
from shared.webhooks import signatures
from shared.workflow.states import ExecutionKind
from tests.executions.lab import MAX_ATTEMPTS, call, event, open_lab, step
from tests.executions.support import LedgerView, queue
from tests.fakes.webhook_receiver import Answer, WebhookReceiver, open_receiver
from tests.fixtures.stack import ROOT
from tests.support.platform import Account, Platform
from tests.workflows.conftest import Tenant


@pytest.fixture(scope="module")
async def receiver(platform: Platform) -> AsyncGenerator[WebhookReceiver]:
    """The only private address that messages may be sent to."""
    async with open_receiver() as opened:
        platform.settings.allowed_hosts = opened.address
        yield opened


@pytest.fixture(autouse=True)
async def fresh(receiver: WebhookReceiver, view: LedgerView) -> None:
    await view.run("DELETE FROM webhook_endpoints")
    await view.run("UPDATE executions SET status = 'cancelled' WHERE status IN ('queued', 'running')")
    receiver.reset()


@asynccontextmanager
async def courier(tenant: Tenant, **options: float) -> AsyncIterator[None]:
    """A worker that sends."""
    resources = tenant.platform.resources
    policy = EgressPolicy.from_setting(tenant.platform.settings.allowed_hosts)
    running = asyncio.create_task(Deliveries(resources.database, resources.cipher, policy, **options).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def endpoint(tenant: Tenant, url: str, **fields: Any) -> dict[str, Any]:
    return await tenant.post("/webhook-endpoints", {"url": url, **fields})


async def deliveries(tenant: Tenant, endpoint_id: str) -> list[dict[str, Any]]:
    return (await tenant.get(f"/webhook-endpoints/{endpoint_id}/deliveries"))["items"]


async def settled(tenant: Tenant, endpoint_id: str) -> dict[str, Any]:
    """The latest delivery, once it is neither sent nor about to be."""
    async with asyncio.timeout(20):
        while True:
            latest = (await deliveries(tenant, endpoint_id))[0]
            if latest["status"] != "pending":
                return latest
            await asyncio.sleep(0.05)


async def recorded(tenant: Tenant, endpoint_id: str, attempts: int) -> dict[str, Any]:
    """The latest delivery, once what became of so many attempts is written down."""
    async with asyncio.timeout(20):
        while True:
            latest = (await deliveries(tenant, endpoint_id))[0]
            if latest["attempts"] >= attempts and (latest["last_error"] or latest["status"] != "pending"):
                return latest
            await asyncio.sleep(0.05)


async def hurry(view: LedgerView) -> None:
    """As if the pause before the next attempt were over."""
    await view.run("UPDATE webhook_deliveries SET next_attempt_at = now(), last_error = NULL WHERE status = 'pending'")


async def end(
    tenant: Tenant, status: ExecutionStatus = ExecutionStatus.SUCCEEDED, output: Any = None, **fields: Any
) -> UUID:
    """An execution that a worker runs to its end, as the ledger has it."""
    row = await queue(tenant.platform, tenant.account, **fields)
    async with open_lab(tenant.platform) as lab:
        worker = await lab.worker()
        claims = {claim.id: claim for claim in await worker.take()}
        ledger = worker.ledger(claims[row.id])
        working = step()
        used = call(working, input_tokens=10, output_tokens=5, cost=Decimal("0.000125"))
        await ledger.write(LedgerBatch(steps=[working], calls=[used]))
        error = {"code": "step_failed", "message": "no"} if status is ExecutionStatus.FAILED else None
        await ledger.write(LedgerBatch(events=[event(type_="done")], transition=Transition(status, output, error)))
    return row.id


async def test_an_end_is_told_once_signed_and_with_its_result(here: Tenant, receiver: WebhookReceiver) -> None:
    made = await endpoint(here, receiver.url, description="Mine")
    execution = await end(here, output={"answer": 42}, name="Report", workflow_id=None)
    async with courier(here):
        (received,) = await receiver.have(1)
        told = await settled(here, made["id"])

    assert signatures.verify([made["secret"]], received.headers, received.body, utcnow()) == told["webhook_id"]
    with pytest.raises(signatures.NotGenuine):
        signatures.verify([signatures.new_secret()], received.headers, received.body, utcnow())
    message = received.message
    assert (message["type"], received.headers["content-type"]) == ("execution.succeeded", "application/json")
    assert abs(utcnow() - datetime.fromisoformat(message["timestamp"])) < timedelta(minutes=1)
    assert message["data"] == {
        "id": str(execution),
        "name": "Report",
        "kind": "workflow",
        "workflow_id": None,
        "workflow_version": 1,
        "trigger_id": None,
        "status": "succeeded",
        "output": {"answer": 42},
        "output_truncated": False,
        "error": None,
        "totals": {"input_tokens": 10, "output_tokens": 5, "cost": "0.000125", "calls": 1},
    }
    assert (told["status"], told["attempts"], told["last_status"], told["last_response"]) == ("delivered", 1, 200, "ok")
    assert (told["execution_id"], told["event"], told["next_attempt_at"]) == (
        str(execution), "execution.succeeded", None,
    )  # fmt: skip
    assert told["body"] == received.body.decode()


async def test_only_what_was_asked_for_is_told(here: Tenant, there: Tenant, receiver: WebhookReceiver) -> None:
    mine = await here.workflow()
    some = await endpoint(here, receiver.url, events=["execution.failed"], workflow_ids=[mine["id"]])
    off = await endpoint(here, receiver.url, enabled=False)
    foreign = await endpoint(there, receiver.url)
    failed = await end(here, ExecutionStatus.FAILED, workflow_id=UUID(mine["id"]))
    await end(here, ExecutionStatus.SUCCEEDED, workflow_id=UUID(mine["id"]))
    await end(here, ExecutionStatus.FAILED)
    await end(here, ExecutionStatus.FAILED, workflow_id=UUID(mine["id"]), kind=ExecutionKind.REPLAY)

    (told,) = await deliveries(here, some["id"])
    assert (told["execution_id"], told["event"]) == (str(failed), "execution.failed")
    assert '"error":{"code":"step_failed","message":"no"}' in told["body"].replace(" ", "")
    assert await deliveries(here, off["id"]) == []
    assert await deliveries(there, foreign["id"]) == []
    log = f"/webhook-endpoints/{some['id']}/deliveries"
    assert (await here.get(log, status=["pending", "delivered"]))["items"] == [told]
    assert (await here.get(log, status="failed"))["items"] == []


async def test_every_way_to_end_is_told_and_parts_of_others_are_not(
    here: Tenant, view: LedgerView, receiver: WebhookReceiver
) -> None:
    made = await endpoint(here, receiver.url)
    cancelled = await queue(here.platform, here.account)
    http = await here.platform.client(ORCHESTRATION, here.account)
    assert (await http.post(f"/api/v1/executions/{cancelled.id}/cancel")).status_code == 202
    poison = await queue(here.platform, here.account)
    async with open_lab(here.platform) as lab:
        worker = await lab.worker()
        for _ in range(MAX_ATTEMPTS):
            await worker.take()
            await view.run("UPDATE executions SET lease_until = now() - interval '1 ms' WHERE id = $1", poison.id)
            await worker.claims.reap()
    child = await queue(here.platform, here.account)
    await view.run("UPDATE executions SET parent_id = $2, depth = 1 WHERE id = $1", child.id, poison.id)
    await view.run("UPDATE executions SET status = 'succeeded' WHERE id = $1", child.id)

    told = {item["execution_id"]: item["event"] for item in await deliveries(here, made["id"])}
    assert told == {str(cancelled.id): "execution.cancelled", str(poison.id): "execution.failed"}


async def test_an_end_that_is_rolled_back_is_not_told(
    here: Tenant, view: LedgerView, receiver: WebhookReceiver
) -> None:
    made = await endpoint(here, receiver.url)
    row = await queue(here.platform, here.account)
    transaction = view.connection.transaction()
    await transaction.start()
    await view.run("UPDATE executions SET status = 'succeeded' WHERE id = $1", row.id)
    assert await view.connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 1
    await transaction.rollback()
    assert await deliveries(here, made["id"]) == []


async def test_an_execution_ends_though_an_endpoint_is_being_deleted(
    here: Tenant, receiver: WebhookReceiver, view: LedgerView
) -> None:
    """The end finds the endpoint, waits until it is gone, and must not refer to it then."""
    going, stays = await endpoint(here, receiver.url), await endpoint(here, receiver.url)
    async with view.connection.transaction():
        await view.run("DELETE FROM webhook_endpoints WHERE id = $1", UUID(going["id"]))
        ending = asyncio.create_task(end(here))
        await asyncio.sleep(0.5)
        assert not ending.done(), "it waits"
    execution = await asyncio.wait_for(ending, 10)

    assert (await view.execution(execution))["status"] == "succeeded"
    assert [each["execution_id"] for each in await deliveries(here, stays["id"])] == [str(execution)]


async def test_a_large_output_is_left_out(here: Tenant, receiver: WebhookReceiver) -> None:
    made = await endpoint(here, receiver.url)
    await end(here, output={"text": "x" * 20_000})
    async with courier(here):
        (received,) = await receiver.have(1)
        told = await settled(here, made["id"])
    assert (received.message["data"]["output"], received.message["data"]["output_truncated"]) == (None, True)
    assert len(told["body"]) <= 1000


async def test_it_is_sent_until_it_is_taken_under_one_id(
    here: Tenant, view: LedgerView, receiver: WebhookReceiver
) -> None:
    made = await endpoint(here, receiver.url)
    receiver.script.extend([
        Answer(500, body="broken"), Answer(hang=30), Answer(drop=True), Answer(302, {"Location": "/elsewhere"}),
        Answer(200),
    ])  # fmt: skip
    await end(here)
    said: list[tuple[int | None, str | None]] = []
    async with courier(here, timeout=0.5):
        for attempt in range(1, 5):
            await receiver.have(attempt)
            latest = await recorded(here, made["id"], attempt)
            said.append((latest["last_status"], latest["last_error"]))
            assert latest["status"] == "pending"
            pause = datetime.fromisoformat(latest["next_attempt_at"]) - utcnow()
            assert PAUSES[attempt - 1] * 0.5 < pause < PAUSES[attempt - 1] * 1.3
            assert (await here.get(f"/webhook-endpoints/{made['id']}"))["failing_since"] is not None
            await hurry(view)
        told = await settled(here, made["id"])

    assert said == [
        (500, "The endpoint answered 500."),
        (None, "There was no answer within 0.5 seconds."),
        (None, "The connection failed."),
        (302, "The endpoint answered 302."),
    ]
    assert (told["status"], told["attempts"]) == ("delivered", 5)
    assert {each.id for each in receiver.received} == {told["webhook_id"]}
    assert len({each.body for each in receiver.received}) == 1
    for each in receiver.received:
        signatures.verify([made["secret"]], each.headers, each.body, utcnow())
    assert (await here.get(f"/webhook-endpoints/{made['id']}"))["failing_since"] is None


async def test_a_killed_worker_leaves_it_to_another(here: Tenant, receiver: WebhookReceiver) -> None:
    made = await endpoint(here, receiver.url)
    receiver.script.append(Answer(hang=60))
    await end(here)
    settings = here.platform.settings
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.triggers.courier", "2",
        cwd=ROOT,
        env={
            **os.environ,
            "APP_DATABASE_URL": settings.app_database_url.get_secret_value(),
            "QUARTERDECK_MASTER_KEYS": settings.master_keys.get_secret_value(),
            "QUARTERDECK_ALLOWED_HOSTS": settings.allowed_hosts,
        },
    )  # fmt: skip
    await receiver.have(1, within=60)
    worker.kill()
    assert await worker.wait() == -9
    async with courier(here):
        first, second = await receiver.have(2)
        told = await settled(here, made["id"])
    assert (first.id, first.body) == (second.id, second.body)
    assert (told["status"], told["attempts"], told["webhook_id"]) == ("delivered", 2, first.id)


async def test_a_late_answer_does_not_undo_a_later_attempt(here: Tenant, receiver: WebhookReceiver) -> None:
    """A worker that was frozen for longer than its lease."""
    made = await endpoint(here, receiver.url)
    receiver.script.extend([Answer(500, hang=4), Answer(200)])
    await end(here)
    async with courier(here, lease=1), courier(here, lease=1):
        await receiver.have(2)
        await settled(here, made["id"])
        await asyncio.sleep(4)
    (told,) = await deliveries(here, made["id"])
    assert (told["status"], told["attempts"], told["last_status"]) == ("delivered", 2, 200)


async def test_each_is_sent_once_when_nothing_goes_wrong(
    here: Tenant, receiver: WebhookReceiver, view: LedgerView
) -> None:
    made = await endpoint(here, receiver.url)
    rows = [await queue(here.platform, here.account) for _ in range(60)]
    await view.run("UPDATE executions SET status = 'succeeded' WHERE id = ANY ($1)", [row.id for row in rows])
    async with courier(here), courier(here), courier(here):
        received = await receiver.have(60)
    assert len({each.id for each in received}) == 60
    assert {each.message["data"]["id"] for each in received} == {str(row.id) for row in rows}
    listed = await here.get(f"/webhook-endpoints/{made['id']}/deliveries", limit=50)
    rest = await here.get(f"/webhook-endpoints/{made['id']}/deliveries", cursor=listed["next_cursor"])
    assert len({item["id"] for item in (*listed["items"], *rest["items"])}) == 60


async def test_how_long_it_is_tried() -> None:
    failed = Outcome(500, "no")
    pauses = [next_pause(attempts, failed) for attempts in range(1, 11)]
    assert pauses[-1] is None
    assert [
        pause is not None and planned <= pause <= planned * 1.2 for pause, planned in zip(pauses, PAUSES, strict=False)
    ] == [True] * 9
    asked = Outcome(429, "later", retry_after=timedelta(minutes=2))
    assert next_pause(1, asked) == timedelta(minutes=2)
    assert (next_pause(3, asked) or timedelta()) >= PAUSES[2]


async def test_an_endpoint_that_asks_for_time_gets_it(here: Tenant, receiver: WebhookReceiver) -> None:
    made = await endpoint(here, receiver.url)
    receiver.script.append(Answer(503, {"Retry-After": "900"}))
    await end(here)
    async with courier(here):
        told = await recorded(here, made["id"], 1)
    pause = datetime.fromisoformat(told["next_attempt_at"]) - utcnow()
    assert timedelta(seconds=850) < pause <= timedelta(seconds=900)


async def test_an_endpoint_that_is_gone_or_long_dead_is_disabled(
    here: Tenant, view: LedgerView, receiver: WebhookReceiver
) -> None:
    gone, dead = await endpoint(here, receiver.url), await endpoint(here, receiver.url)
    await view.run("UPDATE webhook_endpoints SET enabled = false WHERE id = $1", UUID(dead["id"]))
    receiver.script.append(Answer(410))
    await end(here)
    async with courier(here):
        assert (await settled(here, gone["id"]))["status"] == "failed"
    shown = await here.get(f"/webhook-endpoints/{gone['id']}")
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "The endpoint answered 410: it is gone for good.")

    await view.run(
        "UPDATE webhook_endpoints SET enabled = true, failing_since = now() - interval '6 days' WHERE id = $1",
        UUID(dead["id"]),
    )
    receiver.script.append(Answer(500))
    await end(here)
    await end(here)
    await view.run(
        "UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 hour' WHERE id = $1",
        UUID((await deliveries(here, dead["id"]))[0]["id"]),
    )
    async with courier(here):
        await receiver.have(2)
        waiting = await settled(here, dead["id"])
    shown = await here.get(f"/webhook-endpoints/{dead['id']}")
    assert shown["enabled"] is False
    assert shown["disabled_reason"].startswith("The endpoint has taken nothing since ")
    assert (waiting["status"], waiting["last_error"]) == ("failed", "The endpoint was disabled.")

    # Enabled again, it starts anew; what was given up can be sent by hand, under the same id.
    body = {"url": receiver.url, "enabled": True}
    again = (await here.http.put(f"/api/v1/webhook-endpoints/{dead['id']}", json=body)).json()
    assert (again["enabled"], again["disabled_reason"], again["failing_since"]) == (True, None, None)
    redelivered = await here.post(f"/webhook-deliveries/{waiting['id']}/redeliver")
    assert redelivered["status"] == "pending"
    twice = await here.http.post(f"/api/v1/webhook-deliveries/{waiting['id']}/redeliver")
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "webhook_delivery_pending")
    async with courier(here):
        received = await receiver.have(3)
        assert (await settled(here, dead["id"]))["status"] == "delivered"
    assert received[-1].id == waiting["webhook_id"]


async def test_a_test_message_is_sent(here: Tenant, receiver: WebhookReceiver) -> None:
    made = await endpoint(here, receiver.url, enabled=False)
    asked = await here.post(f"/webhook-endpoints/{made['id']}/test")
    async with courier(here):
        (received,) = await receiver.have(1)
        assert (await settled(here, made["id"]))["status"] == "delivered"
    assert (received.id, received.message["type"]) == (asked["webhook_id"], "webhook.test")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://10.0.0.1/x", "url_not_allowed"),
        ("http://[::1]/x", "url_not_allowed"),
        ("http://169.254.169.254/latest/meta-data", "url_not_allowed"),
        ("http://127.1/x", "invalid"),
        ("ftp://example.com", "invalid"),
        ("file:///etc/passwd", "invalid"),
        ("http://user:password@example.com", "invalid"),
        ("example.com", "invalid"),
        ("https://example.com/" + "x" * 2000, "invalid"),
    ],
    ids=["private", "loopback", "metadata", "odd", "ftp", "file", "credentials", "no scheme", "long"],
)
async def test_private_addresses_and_what_is_no_url_are_refused(here: Tenant, url: str, code: str) -> None:
    answer = await here.http.post("/api/v1/webhook-endpoints", json={"url": url})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert answer.json()["error"]["details"][0]["field"] == "url"


async def test_a_name_that_leads_inside_gets_nothing(here: Tenant, receiver: WebhookReceiver) -> None:
    """It looks harmless when it is saved; what counts is where the connection would lead."""
    async with open_receiver() as inside:
        made = await endpoint(here, inside.url.replace("127.0.0.1", "localhost"))
        await end(here)
        async with courier(here):
            told = await recorded(here, made["id"], 1)
    assert (told["last_status"], told["last_error"]) == (None, "the host's address is private and not allowed here")
    assert inside.received == []


async def test_who_may_see_and_who_may_change(
    here: Tenant, there: Tenant, viewer: Account, receiver: WebhookReceiver
) -> None:
    made = await endpoint(here, receiver.url)
    await end(here)
    delivery = (await deliveries(here, made["id"]))[0]
    one = f"/api/v1/webhook-endpoints/{made['id']}"
    body = {"url": receiver.url}
    requests = [
        ("GET", one), ("GET", f"{one}/deliveries"), ("PUT", one), ("POST", f"{one}/test"),
        ("POST", f"/api/v1/webhook-deliveries/{delivery['id']}/redeliver"), ("DELETE", one),
    ]  # fmt: skip
    for method, path in requests:
        sent = {"json": body} if method == "PUT" else {}
        assert (await there.http.request(method, path, **sent)).status_code == 404, (method, path)
        seen = await here.http.request(method, path, headers=viewer.headers, **sent)
        assert seen.status_code == (200 if method == "GET" else 403), (method, path)
        assert made["secret"] not in seen.text
    assert (await here.http.post("/api/v1/webhook-endpoints", json=body, headers=viewer.headers)).status_code == 403
    assert (await there.get("/webhook-endpoints"))["items"] == []
    foreign = await here.http.post("/api/v1/webhook-endpoints", json={**body, "workflow_ids": [str(new_id())]})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (422, "workflow_unknown")
    assert (await here.http.delete(one)).status_code == 204
    assert (await here.http.get(one)).status_code == 404


async def test_there_may_be_only_so_many(here: Tenant, receiver: WebhookReceiver) -> None:
    for _ in range(50):
        await endpoint(here, receiver.url)
    answer = await here.http.post("/api/v1/webhook-endpoints", json={"url": receiver.url})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "too_many_webhook_endpoints")
