"""Triggers as they are kept: what is refused, who may see them, and who may change them."""

from typing import Any

import pytest

from services.auth.module import SERVICE as AUTH
from tests.support.platform import Account
from tests.triggers.support import make, schedule, webhook
from tests.workflows.conftest import Tenant

BOTH = {**schedule(), "webhook": {}}


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (schedule(cron="61 * * * *"), "schedule.cron", "the minute is wrong: '61'"),
        (schedule(cron="0 0 30 2 *"), "schedule.cron", "never fires"),
        (schedule(time_zone="Mars/Olympus"), "schedule.time_zone", "there is no time zone 'Mars/Olympus'"),
        (schedule(missed="some"), "schedule.missed", "'skip', 'last' or 'all'"),
        (schedule(inputs={"n": "\x00"}), "schedule.inputs", "NUL"),
        (schedule(inputs={"n": "x"}), "schedule.inputs.n", "is not of type 'integer'"),
        (webhook(inputs={"n": "body."}), "webhook.inputs.n", ""),
        (webhook(inputs={"n": "inputs.n"}), "webhook.inputs.n", "body, headers, query are known here"),
        (webhook(inputs={"n": "'\x00'"}), "webhook.inputs.n", "NUL"),
        (webhook(verification="none"), "webhook.verification", "'signature' or 'token_only'"),
        ({"name": "N", "kind": "schedule"}, None, "takes `schedule`"),
        ({**webhook(), "kind": "schedule"}, None, "takes `schedule`"),
        (BOTH, None, "nothing of the other kind"),
        ({**schedule(), "priority": 11}, "priority", "less than or equal to 10"),
        ({**schedule(), "acts_for": "x"}, "acts_for", "not permitted"),
    ],
    ids=str,
)
async def test_what_cannot_be_kept_is_refused_with_its_place(
    here: Tenant, body: dict[str, Any], field: str | None, said: str
) -> None:
    workflow = await here.workflow()
    answer = await here.http.post(f"/api/v1/workflows/{workflow['id']}/triggers", json=body)
    assert answer.status_code == 422, answer.text
    detail = answer.json()["error"]["details"][0]
    assert detail["field"] == field
    assert said in detail["message"]
    assert (await here.get(f"/workflows/{workflow['id']}/triggers"))["items"] == []


async def test_a_version_can_be_pinned_if_there_is_one(here: Tenant) -> None:
    workflow = await here.workflow()
    pinned = await make(here, {**schedule(), "version": 1}, workflow["id"])
    assert pinned["version"] == 1
    path = f"/api/v1/workflows/{workflow['id']}/triggers"
    missing = await here.http.post(path, json={**schedule(), "version": 2})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "version_not_found")


async def test_the_kind_stays(here: Tenant) -> None:
    trigger = await make(here, schedule())
    answer = await here.http.put(f"/api/v1/triggers/{trigger['id']}", json=webhook())
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "trigger_kind_fixed")
    rotated = await here.http.post(f"/api/v1/triggers/{trigger['id']}/rotate-secret")
    assert (rotated.status_code, rotated.json()["error"]["code"]) == (409, "trigger_not_a_webhook")


async def test_the_list_pages_and_goes_with_the_workflow(here: Tenant) -> None:
    workflow = await here.workflow()
    made = [(await make(here, schedule(), workflow["id"]))["id"] for _ in range(3)]
    path = f"/workflows/{workflow['id']}/triggers"
    first = await here.get(path, limit=2)
    second = await here.get(path, limit=2, cursor=first["next_cursor"])
    assert [item["id"] for item in (*first["items"], *second["items"])] == made[::-1]
    assert (await here.http.delete(f"/api/v1/workflows/{workflow['id']}")).status_code == 204
    assert (await here.http.get(f"/api/v1/triggers/{made[0]}")).status_code == 404


async def test_who_may_see_and_who_may_change(here: Tenant, there: Tenant, viewer: Account) -> None:
    trigger = await make(here, webhook())
    one = f"/api/v1/triggers/{trigger['id']}"
    requests = [
        ("GET", one),
        ("GET", f"/api/v1/workflows/{trigger['workflow_id']}/triggers"),
        ("POST", f"/api/v1/workflows/{trigger['workflow_id']}/triggers"),
        ("PUT", one),
        *(("POST", f"{one}/{action}") for action in ("enable", "disable", "test", "rotate-secret")),
        ("DELETE", one),
    ]
    for method, path in requests:
        sent = {"json": webhook()} if method == "PUT" or (path.endswith("/triggers") and method == "POST") else {}
        assert (await there.http.request(method, path, **sent)).status_code == 404, (method, path)
        seen = await here.http.request(method, path, headers=viewer.headers, **sent)
        assert seen.status_code == (200 if method == "GET" else 403), (method, path)
    assert (await here.http.delete(one)).status_code == 204
    assert (await here.http.delete(one)).status_code == 404


async def test_a_key_that_may_start_nothing_makes_no_trigger(here: Tenant) -> None:
    """It would start workflows for its person, which the key itself must not."""
    workflow = await here.workflow()
    scopes = ["workflows:read", "workflows:write"]
    auth = await here.platform.client(AUTH, here.account)
    key = (await auth.post("/api/v1/api-keys", json={"name": "k", "scopes": scopes})).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    path = f"/api/v1/workflows/{workflow['id']}/triggers"
    assert (await here.http.post(path, json=schedule(), headers=headers)).status_code == 403
    assert (await here.http.get(path, headers=headers)).status_code == 200
