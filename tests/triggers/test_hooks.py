"""Deliveries to webhooks: which are taken, what they start, and what refusals tell."""

import asyncio
import statistics
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.workflows.module import SERVICE
from shared.kit.clock import utcnow
from shared.webhooks.signatures import new_secret, sign
from tests.executions.support import LedgerView
from tests.support.platform import Account
from tests.triggers.support import make, schedule, sender, started, webhook
from tests.workflows.conftest import TRIVIAL, Tenant


def _refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["error"]["code"]) == (401, "hook_refused")


async def test_a_signed_delivery_starts_the_workflow_with_its_body(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, {**webhook(), "priority": 3})
    answer = await (await sender(here, trigger)).send({"n": 21})

    assert answer.status_code == 202, answer.text
    (row,) = await started(view, trigger)
    assert answer.json() == {"execution_id": str(row["id"])}
    assert (row["inputs"], row["priority"], row["status"]) == ({"n": 21}, 3, "queued")
    assert (row["tenant_id"], row["created_by"]) == (here.account.tenant_id, here.account.user_id)
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert (shown["last_execution_id"], shown["failures"], shown["last_error"]) == (str(row["id"]), 0, None)
    assert shown["updated_at"] == trigger["updated_at"]


async def test_a_delivery_that_comes_again_is_answered_with_the_same_execution(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, webhook())
    outside = await sender(here, trigger)
    ids = [f"msg_{number}" for number in range(10)]
    answers = await asyncio.gather(*(outside.send({"n": 1}, id=id_) for id_ in ids for _ in range(5)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["execution_id"] for answer in answers}) == len(ids)
    assert len(await started(view, trigger)) == len(ids)
    save = {**webhook(inputs={"n": "7"}), "name": "Changed"}
    await here.http.put(f"/api/v1/triggers/{trigger['id']}", json=save)
    assert (await outside.send({"n": 1}, id=ids[0])).json() == answers[0].json()


async def test_expressions_make_the_inputs_and_see_no_proof(here: Tenant, view: LedgerView) -> None:
    graph = {
        **TRIVIAL,
        "inputs": {"type": "object"},
        "nodes": [{"id": "twice", "type": "transform", "config": {"expression": "1"}}],
    }
    made = await here.workflow(graph)
    inputs = {"who": "body.sender.name", "event": "headers['x-event']", "page": "query.page", "all": "headers"}
    trigger = await make(here, webhook(inputs=inputs), made["id"])
    answer = await (await sender(here, trigger)).send(
        {"sender": {"name": "Ann"}}, id="m1", query="?page=2",
        **{"X-Event": "push", "X-Api-Key": "k", "X-Gitlab-Token": "t", "Authorization": "Bearer z", "Cookie": "c=1",
           "X-Forwarded-For": "1.2.3.4", "X-Hub-Signature-256": "s"},
    )  # fmt: skip

    assert answer.status_code == 202, answer.text
    (row,) = await started(view, trigger)
    assert {name: row["inputs"][name] for name in ("who", "event", "page")} == {
        "who": "Ann",
        "event": "push",
        "page": "2",
    }
    assert set(row["inputs"]["all"]) <= {"x-event", "webhook-id", "content-type", "user-agent"}


@pytest.mark.parametrize(
    ("body", "inputs", "field"),
    [
        (b"{", None, "body"),
        (b"[1]", None, "body"),
        (b"[" * 100_000, None, "body"),
        (b'{"n": "x"}', None, "inputs.n"),
        (b"{}", {"n": "body.missing"}, "webhook.inputs.n"),
    ],
    ids=["no JSON", "no object", "too deep", "unfit", "no such field"],
)
async def test_what_cannot_start_is_shown_on_the_trigger_and_not_to_the_sender(
    here: Tenant, view: LedgerView, body: bytes, inputs: dict[str, str] | None, field: str
) -> None:
    trigger = await make(here, webhook(inputs=inputs))
    outside = await sender(here, trigger)
    for _ in range(2):
        answer = await outside.send(body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "hook_failed")
        assert answer.json()["error"]["details"] == []
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert (shown["failures"], shown["last_error"]["code"]) == (2, "inputs_invalid")
    assert shown["last_error"]["details"][0]["field"] == field

    good = {**webhook(inputs={"n": "5"}), "name": "Better"}
    await here.http.put(f"/api/v1/triggers/{trigger['id']}", json=good)
    assert (await outside.send({})).status_code == 202
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert (shown["failures"], shown["last_error"]) == (0, None)
    assert len(await started(view, trigger)) == 1


async def test_refusals_are_alike_and_store_nothing(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, webhook())
    outside = await sender(here, trigger)
    now = utcnow()
    good = sign(outside.secret, "m", now, b"{}")
    forged = {
        "unsigned": {},
        "no id": {**good, "webhook-id": ""},
        "another id": {**good, "webhook-id": "m2"},
        "another time": {**good, "webhook-timestamp": str(int(now.timestamp()) + 1)},
        "no time": {**good, "webhook-timestamp": "soon"},
        "unknown kind": {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        "no base64": {**good, "webhook-signature": "v1,%%%"},
        "a full stop": sign(outside.secret, "m.1", now, b"{}"),
        "much too long": sign(outside.secret, "m" * 300, now, b"{}"),
    }
    answers = [await outside.http.post(outside.path, content=b"{}", headers=headers) for headers in forged.values()]
    answers += [
        await outside.send({}, secret=new_secret()),
        await outside.send({}, at=now - timedelta(minutes=6)),
        await outside.send({}, at=now + timedelta(minutes=6)),
        await outside.http.post(f"{outside.path}x", content=b"{}", headers=good),
        await outside.http.post(outside.path, content=b'{"n": 2}', headers=good),
    ]
    for answer in answers:
        assert _refused(answer), answer.text
        assert {**answer.json()["error"], "correlation_id": ""} == {
            **answers[0].json()["error"], "correlation_id": ""
        }  # fmt: skip
    assert await started(view, trigger) == []
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert (shown["failures"], shown["last_error"], shown["last_fired_at"]) == (0, None, None)
    # The one that was forged after: it was good all the while.
    assert (await outside.http.post(outside.path, content=b"{}", headers=good)).status_code == 202


async def test_an_unknown_url_takes_as_long_as_a_wrong_signature(here: Tenant) -> None:
    outside = await sender(here, await make(here, webhook()))

    async def seconds(path: str) -> float:
        began = time.perf_counter()
        answer = await outside.http.post(path, content=b"{}", headers=sign(new_secret(), "m", utcnow(), b"{}"))
        assert _refused(answer)
        return time.perf_counter() - began

    wrong, unknown = [], []
    for _ in range(60):
        wrong.append(await seconds(outside.path))
        unknown.append(await seconds(f"{outside.path[:-4]}aaaa"))
    assert 0.5 < statistics.median(wrong) / statistics.median(unknown) < 2


async def test_several_signatures_and_a_rotated_secret(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, webhook())
    outside = await sender(here, trigger)
    rotated = await here.post(f"/triggers/{trigger['id']}/rotate-secret", {"grace_seconds": 60})
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != outside.secret
    assert (await outside.send({})).status_code == 202
    assert (await outside.send({}, secret=rotated["secret"])).status_code == 202
    both = sign(outside.secret, "both", utcnow(), b"{}")
    both["webhook-signature"] = f"v1a,xx v1,{'A' * 43}= {both['webhook-signature']}"
    assert (await outside.http.post(outside.path, content=b"{}", headers=both)).status_code == 202
    assert (await here.get(f"/triggers/{trigger['id']}"))["webhook"]["old_secret_until"] == rotated["old_secret_until"]

    last = await here.post(f"/triggers/{trigger['id']}/rotate-secret", {"grace_seconds": 0})
    assert _refused(await outside.send({}))
    assert _refused(await outside.send({}, secret=rotated["secret"]))
    assert (await outside.send({}, secret=last["secret"])).status_code == 202
    assert (await here.get(f"/triggers/{trigger['id']}"))["webhook"]["old_secret_until"] is None
    assert len(await started(view, trigger)) == 4


async def test_where_the_url_is_proof_enough(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, webhook(verification="token_only"))
    outside = await sender(here, trigger)
    for headers in ({}, {}, {"webhook-id": "a"}, {"webhook-id": "a"}, {"webhook-id": "no id"}):
        answer = await outside.http.post(outside.path, content=b'{"n": 4}', headers=headers)
        assert answer.status_code == 202, answer.text
    assert len(await started(view, trigger)) == 4
    assert (await outside.http.post(outside.path)).status_code == 202  # no body is no inputs


async def test_a_disabled_webhook_says_so_to_who_knows_the_secret(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, webhook())
    outside = await sender(here, trigger)
    assert (await here.post(f"/triggers/{trigger['id']}/disable"))["enabled"] is False
    answer = await outside.send({})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "hook_disabled")
    assert _refused(await outside.send({}, secret=new_secret()))
    assert await started(view, trigger) == []
    await here.post(f"/triggers/{trigger['id']}/enable")
    assert (await outside.send({})).status_code == 202


async def test_a_delivery_that_is_too_large_is_refused(here: Tenant) -> None:
    outside = await sender(here, await make(here, webhook()))
    answer = await outside.send(b"x" * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def test_a_test_goes_the_way_of_a_delivery(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, {**webhook(inputs={"n": "body.n"}), "enabled": False})
    done = await here.post(f"/triggers/{trigger['id']}/test", {"body": {"n": 8}})
    (row,) = await started(view, trigger)
    assert (done["execution_id"], row["inputs"]) == (str(row["id"]), {"n": 8})
    failed = await here.http.post(f"/api/v1/triggers/{trigger['id']}/test", json={"body": []})
    assert (failed.status_code, failed.json()["error"]["code"]) == (422, "inputs_invalid")
    assert failed.json()["error"]["details"][0]["field"] == "webhook.inputs.n"
    assert (await here.get(f"/triggers/{trigger['id']}"))["failures"] == 1

    nightly = await make(here, schedule(inputs={"n": 6}))
    await here.post(f"/triggers/{nightly['id']}/test")
    assert [row["inputs"] for row in await started(view, nightly)] == [{"n": 6}]


async def test_who_left_starts_nothing_any_more(here: Tenant, view: LedgerView) -> None:
    editor = await here.platform.join(here.account, "editor")
    http = await here.platform.client(SERVICE, editor)
    workflow = await here.workflow()
    made = await http.post(f"/api/v1/workflows/{workflow['id']}/triggers", json=webhook())
    assert made.status_code == 201, made.text
    trigger = made.json()
    outside = await sender(here, trigger)
    assert (await outside.send({})).status_code == 202
    await view.run("UPDATE memberships SET role = 'viewer' WHERE user_id = $1", editor.user_id)
    assert (await outside.send({})).json()["error"]["code"] == "hook_failed"
    await view.run("DELETE FROM memberships WHERE user_id = $1", editor.user_id)
    assert (await outside.send({})).json()["error"]["code"] == "hook_failed"
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert (shown["failures"], shown["last_error"]["code"]) == (2, "trigger_acts_for_nobody")

    # Whoever takes it over is the one it acts for.
    await here.post(f"/triggers/{trigger['id']}/enable")
    assert (await outside.send({})).status_code == 202
    assert [row["created_by"] for row in await started(view, trigger)] == [editor.user_id, here.account.user_id]


async def test_secrets_are_told_once_and_lie_hashed_and_sealed(here: Tenant, view: LedgerView, viewer: Account) -> None:
    trigger = await make(here, webhook())
    token = trigger["url"].rsplit("/", 1)[1]
    rotated = await here.post(f"/triggers/{trigger['id']}/rotate-secret")
    told: list[Any] = [
        (await here.http.get(f"/api/v1/triggers/{trigger['id']}")).text,
        (await here.http.get(f"/api/v1/workflows/{trigger['workflow_id']}/triggers")).text,
        (await here.http.get(f"/api/v1/triggers/{trigger['id']}", headers=viewer.headers)).text,
    ]
    row = await view.connection.fetchrow("SELECT * FROM triggers WHERE id = $1", UUID(trigger["id"]))
    told.append(repr(dict(row or {})))
    for secret in (token, trigger["secret"], rotated["secret"]):
        assert not any(secret in text for text in told)
