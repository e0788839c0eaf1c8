"""Schedules that fire: each time once, whatever is running and whatever dies (R12)."""

import asyncio
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.orchestration.worker.schedules import Schedules
from services.workflows.module import SERVICE
from shared.kit.clock import utcnow
from shared.triggers.firing import fire_next_due
from tests.executions.support import LedgerView, no_ring
from tests.fixtures.stack import ROOT
from tests.triggers.support import make, schedule, started
from tests.workflows.conftest import Tenant, agent_graph

MINUTELY = {"cron": "* * * * *", "time_zone": "UTC", "inputs": {"n": 1}, "missed": "all"}


async def due_since(view: LedgerView, trigger: dict[str, Any], moment: datetime) -> None:
    """As if nothing had run since then."""
    await view.run("UPDATE triggers SET next_fire_at = $2 WHERE id = $1", UUID(trigger["id"]), moment)


async def fire_all(tenant: Tenant) -> int:
    fired = 0
    while await fire_next_due(tenant.platform.resources.database, no_ring):
        fired += 1
    return fired


def fire_time(row: dict[str, Any]) -> datetime:
    """Of an execution that a schedule started."""
    return datetime.fromisoformat(row["idempotency_key"].split(":", 2)[2])


def last_minute() -> datetime:
    return utcnow().replace(second=0, microsecond=0)


async def test_a_schedule_says_when_it_fires(here: Tenant) -> None:
    trigger = await make(here, schedule())
    assert (trigger["kind"], trigger["enabled"], trigger["webhook"]) == ("schedule", True, None)
    assert trigger["schedule"] == {
        "cron": "0 3 * * *", "time_zone": "Europe/Berlin", "inputs": {"n": 2}, "missed": "last",
    }  # fmt: skip
    assert (trigger["url"], trigger["secret"]) == (None, None)
    assert len(trigger["next_fire_times"]) == 5
    assert trigger["next_fire_times"][0]["at"] == trigger["next_fire_at"]
    assert all(time["local"][10:19] == "T03:00:00" for time in trigger["next_fire_times"])

    off = await here.post(f"/triggers/{trigger['id']}/disable")
    assert (off["next_fire_at"], len(off["next_fire_times"])) == (None, 5)
    on = await here.post(f"/triggers/{trigger['id']}/enable")
    assert on["next_fire_at"] == trigger["next_fire_at"]


async def test_a_preview_shows_clocks_going_on(here: Tenant) -> None:
    times = (await here.post("/triggers/preview", {"cron": "0 */12 * * *", "time_zone": "Europe/Berlin", "count": 20}))[
        "times"
    ]
    assert len(times) == 20
    assert {time["local"][11:16] for time in times} == {"00:00", "12:00"}


async def test_what_is_due_starts_the_workflow(here: Tenant, view: LedgerView, monitoring: Any) -> None:
    trigger = await make(here, {**schedule(**MINUTELY), "priority": -2})
    await due_since(view, trigger, last_minute())
    assert await fire_all(here) == 1

    (row,) = await started(view, trigger)
    assert (row["inputs"], row["priority"], row["created_by"]) == ({"n": 1}, -2, here.account.user_id)
    assert (row["status"], row["workflow_id"]) == ("queued", UUID(trigger["workflow_id"]))
    assert len(row["correlation_id"]) > 0
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert shown["last_execution_id"] == str(row["id"])
    assert datetime.fromisoformat(shown["next_fire_at"]) == fire_time(row) + timedelta(minutes=1)
    assert shown["updated_at"] == trigger["updated_at"]

    listed = (await monitoring.get("/api/v1/executions", params={"trigger": trigger["id"]})).json()["items"]
    assert [item["id"] for item in listed] == [str(row["id"])]
    other = await make(here, schedule())
    assert (await monitoring.get("/api/v1/executions", params={"trigger": other["id"]})).json()["items"] == []


async def test_missed_times_are_made_up_for_as_it_was_said(here: Tenant, view: LedgerView) -> None:
    now = last_minute()
    made = {
        missed: await make(here, schedule(**{**MINUTELY, "cron": "0 * * * *", "missed": missed}))
        for missed in ("skip", "last", "all")
    }
    for trigger in made.values():
        await due_since(view, trigger, now.replace(minute=0) - timedelta(hours=6))
    await fire_all(here)

    hours = [now.replace(minute=0) - timedelta(hours=each) for each in range(6, -1, -1)]
    # In the first minute of an hour that hour is on time, and not missed.
    assert [fire_time(row) for row in await started(view, made["skip"])] in ([], hours[-1:])
    assert [fire_time(row) for row in await started(view, made["last"])] == hours[-1:]
    assert [fire_time(row) for row in await started(view, made["all"])] == hours
    for trigger in made.values():
        shown = await here.get(f"/triggers/{trigger['id']}")
        assert datetime.fromisoformat(shown["next_fire_at"]) == hours[-1] + timedelta(hours=1)

    busy = await make(here, schedule(**MINUTELY))
    await due_since(view, busy, now - timedelta(days=400))
    await fire_all(here)
    assert 100 <= len(await started(view, busy)) <= 102  # minutes may pass meanwhile


async def test_a_firing_that_cannot_start_is_shown_and_stops_no_other(here: Tenant, view: LedgerView) -> None:
    agent = await here.agent()
    broken = await here.workflow(agent_graph(agent))
    trigger = await make(here, schedule(**{**MINUTELY, "inputs": {}}), broken["id"])
    fine = await make(here, schedule(**MINUTELY))
    await view.run("DELETE FROM agents WHERE id = $1", agent)
    for each in (trigger, fine):
        await due_since(view, each, last_minute() - timedelta(minutes=2))
    await fire_all(here)

    assert await started(view, trigger) == []
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert (shown["failures"], shown["last_error"]["code"]) == (3, "workflow_invalid")
    assert shown["last_error"]["details"][0]["field"] == "nodes.work.agent_id"
    assert datetime.fromisoformat(shown["next_fire_at"]) > utcnow()
    assert len(await started(view, fine)) == 3


async def test_a_schedule_that_cannot_be_followed_holds_up_no_other(here: Tenant, view: LedgerView) -> None:
    lost, fine = await make(here, schedule(**MINUTELY)), await make(here, schedule(**MINUTELY))
    await view.run(
        """UPDATE triggers SET config = config || '{"time_zone": "Atlantis/Capital"}' WHERE id = $1""", UUID(lost["id"])
    )
    await due_since(view, lost, last_minute() - timedelta(minutes=1))
    await due_since(view, fine, last_minute())
    await fire_all(here)

    assert len(await started(view, fine)) == 1
    listed = (await here.get(f"/workflows/{lost['workflow_id']}/triggers"))["items"]
    assert [(item["last_error"]["code"], item["next_fire_at"]) for item in listed] == [("schedule_broken", None)]


async def test_what_the_database_refuses_holds_up_no_other(here: Tenant, view: LedgerView) -> None:
    """It would refuse it for ever; only trouble that passes is waited for."""
    refused, other = await make(here, schedule(**MINUTELY)), await make(here, schedule(**MINUTELY))
    await due_since(view, refused, last_minute() - timedelta(seconds=60))
    await due_since(view, other, last_minute())
    await view.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'too large' USING ERRCODE = '22003'; END $$"
    )
    await view.run(
        "CREATE TRIGGER refuse BEFORE INSERT ON executions FOR EACH ROW "
        f"WHEN (NEW.trigger_id = '{refused['id']}') EXECUTE FUNCTION refuse()"
    )
    try:
        assert await fire_all(here) == 3
    finally:
        await view.run("DROP FUNCTION refuse CASCADE")
    assert len(await started(view, other)) == 1
    assert (await here.get(f"/triggers/{refused['id']}"))["failures"] == 2


async def test_who_left_starts_nothing_any_more(here: Tenant, view: LedgerView) -> None:
    editor = await here.platform.join(here.account, "editor")
    http = await here.platform.client(SERVICE, editor)
    workflow = await here.workflow()
    trigger = (await http.post(f"/api/v1/workflows/{workflow['id']}/triggers", json=schedule(**MINUTELY))).json()
    await view.run("DELETE FROM memberships WHERE user_id = $1", editor.user_id)
    await due_since(view, trigger, last_minute())
    await fire_all(here)
    shown = await here.get(f"/triggers/{trigger['id']}")
    assert (shown["failures"], shown["last_error"]["code"]) == (1, "trigger_acts_for_nobody")
    assert await started(view, trigger) == []


async def test_a_change_of_something_else_forgets_no_time(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, schedule(**MINUTELY))
    since = last_minute() - timedelta(minutes=5)
    await due_since(view, trigger, since)
    path = f"/api/v1/triggers/{trigger['id']}"
    renamed = await here.http.put(path, json={**schedule(**MINUTELY), "name": "Renamed"})
    assert datetime.fromisoformat(renamed.json()["next_fire_at"]) == since
    changed = await here.http.put(path, json=schedule(**{**MINUTELY, "cron": "*/2 * * * *"}))
    assert datetime.fromisoformat(changed.json()["next_fire_at"]) > utcnow()


async def test_a_worker_fires_what_comes_due(here: Tenant, view: LedgerView) -> None:
    trigger = await make(here, schedule(**MINUTELY))
    rung = asyncio.Event()

    async def ring() -> None:
        rung.set()

    running = asyncio.create_task(Schedules(here.platform.resources.database, ring).run())
    await due_since(view, trigger, last_minute())
    await asyncio.wait_for(rung.wait(), 10)
    running.cancel()
    assert len(await started(view, trigger)) >= 1


async def test_three_schedulers_and_kills_fire_each_time_once(here: Tenant, view: LedgerView) -> None:
    """R12. The schedulers are processes; some are killed in the middle of their work, and others take their place."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    now = last_minute()
    triggers = [await make(here, schedule(**MINUTELY)) for _ in range(5)]
    for trigger in triggers:
        await due_since(view, trigger, now - timedelta(minutes=89))
    ids = [UUID(trigger["id"]) for trigger in triggers]

    async def fired() -> int:
        return await view.connection.fetchval("SELECT count(*) FROM executions WHERE trigger_id = ANY ($1)", ids)

    schedulers = [await _scheduler(here) for _ in range(3)]
    kills, deadline = 0, asyncio.get_running_loop().time() + 120
    while (done := await fired()) < 90 * len(triggers):
        assert asyncio.get_running_loop().time() < deadline, f"seed {seed}: {done} fired"
        if kills < 4 and done > 80 * kills:
            victim = schedulers.pop(chance.randrange(3))
            victim.kill()
            assert await victim.wait() == -9
            kills += 1
            schedulers.append(await _scheduler(here))
        await asyncio.sleep(chance.random() * 0.1)
    await asyncio.sleep(1)  # whoever would fire something twice has had the time to
    for scheduler in schedulers:
        scheduler.kill()
        await scheduler.wait()

    duplicates = missed = 0
    for trigger in triggers:
        times = [fire_time(row) for row in await started(view, trigger)]
        duplicates += len(times) - len(set(times))
        missed += len({now - timedelta(minutes=each) for each in range(90)} - set(times))
    counts = f"seed {seed}: {await fired()} fire times, {kills} kills, {duplicates} duplicates, {missed} missed"
    sys.stdout.write(f"{counts}\n")
    assert kills >= 3, f"{counts}: the fault did not happen"
    assert (duplicates, missed) == (0, 0), counts


async def _scheduler(tenant: Tenant) -> asyncio.subprocess.Process:
    settings = tenant.platform.settings
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.triggers.scheduler",
        cwd=ROOT,
        env={**os.environ, "APP_DATABASE_URL": settings.app_database_url.get_secret_value()},
    )


def test_fire_times_are_told_apart() -> None:
    key = f"schedule:{UUID(int=1)}:2027-03-28T01:00:00+00:00"
    assert fire_time({"idempotency_key": key}) == datetime(2027, 3, 28, 1, tzinfo=UTC)
