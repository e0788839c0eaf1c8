"""The tenant's policy over the API, and its limit on what runs at once."""

from typing import Any

import httpx
import pytest

from services.orchestration.module import SERVICE
from tests.executions.lab import open_lab
from tests.executions.support import queue
from tests.retention.conftest import KEEP_ALL, History
from tests.support.platform import Account, Platform

PATH = "/api/v1/execution-policy"
DEFAULTS = {**KEEP_ALL, "delta_days": 7, "event_days": 90, "call_days": 90}


async def policy(client: httpx.AsyncClient, **headers: Any) -> dict[str, Any]:
    answer = await client.get(PATH, **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_whoever_sets_nothing_has_the_defaults(platform: Platform, ada: Account) -> None:
    assert await policy(await platform.client(SERVICE, ada)) == {**DEFAULTS, "max_running_allowed": 200}


async def test_what_is_put_is_the_policy_of_this_tenant_alone(platform: Platform, ada: Account, bob: Account) -> None:
    client = await platform.client(SERVICE, ada)
    wanted = {**KEEP_ALL, "max_running": 3, "delta_days": 1, "execution_days": 365}
    for _ in range(2):
        answer = await client.put(PATH, json=wanted)
        assert (answer.status_code, answer.json()) == (200, {**wanted, "max_running_allowed": 200})
    assert await policy(client) == {**wanted, "max_running_allowed": 200}
    assert (await policy(await platform.client(SERVICE, bob)))["delta_days"] == 7


async def test_readers_read_and_admins_write(platform: Platform, ada: Account) -> None:
    client = await platform.client(SERVICE, ada)
    for role, status in (("viewer", 403), ("editor", 403), ("admin", 200)):
        member = await platform.join(ada, role)
        assert (await policy(client, headers=member.headers))["delta_days"] == 7
        assert (await client.put(PATH, json=DEFAULTS, headers=member.headers)).status_code == status, role


@pytest.mark.parametrize(
    "wrong", [{"delta_days": 0}, {"event_days": -1}, {"call_days": 10**9}, {"max_running": 0}, {"tenant_id": "x"}]
)
async def test_what_makes_no_sense_is_refused(platform: Platform, ada: Account, wrong: dict[str, Any]) -> None:
    client = await platform.client(SERVICE, ada)
    assert (await client.put(PATH, json={**DEFAULTS, **wrong})).status_code == 422
    assert (await client.put(PATH, json={"delta_days": 1})).status_code == 422


async def test_nobody_takes_more_than_the_operator_allows(platform: Platform, ada: Account, history: History) -> None:
    await history.view.run("UPDATE tenants SET max_running = 4 WHERE id = $1", ada.tenant_id)
    refused = await history.put(max_running=5)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "max_running_not_allowed")
    assert (await history.put(max_running=4)).status_code == 200
    # What the operator takes away later is gone, whatever the policy says.
    await history.view.run("UPDATE tenants SET max_running = 1 WHERE id = $1", ada.tenant_id)
    assert await _claimed(platform, ada) == 1


async def test_a_claim_goes_by_the_tenants_own_limit(platform: Platform, ada: Account, history: History) -> None:
    assert (await history.put(max_running=2)).status_code == 200
    assert await _claimed(platform, ada) == 2
    assert (await history.put(max_running=None)).status_code == 200
    assert await _claimed(platform, ada, queued=0) == 3


async def _claimed(platform: Platform, account: Account, queued: int = 5) -> int:
    """How many of the tenant's executions a worker with much room takes."""
    for _ in range(queued):
        await queue(platform, account)
    async with open_lab(platform) as lab:
        taken = await (await lab.worker()).take()
    return sum(claim.tenant_id == account.tenant_id for claim in taken)
