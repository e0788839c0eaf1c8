"""Cancel, pause, limits and timers, with real workers that are killed on purpose."""

import asyncio
import itertools
import random
import signal
from datetime import timedelta
from uuid import UUID

from services.orchestration.engine.ports import LedgerBatch, StepStatus, WaitKind
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.executions.lab import open_lab, parked, step, wait
from tests.executions.support import no_ring
from tests.worker.processes import LANE, LEASE, Process, Yard, busiest, eventually


async def _kill(*workers: Process) -> None:
    for worker in workers:
        worker.signal(signal.SIGKILL)
    for worker in workers:
        assert await worker.ended(5) == -signal.SIGKILL


async def _wait_for_timers(yard: Yard, ids: list[UUID], due_in: timedelta) -> None:
    """Each of these waits, and no worker holds it."""
    async with open_lab(yard.platform) as lab:
        worker = await lab.worker("the first")
        claims = await worker.take({LANE.value: len(ids)})
        for claim in claims:
            waiting = step("step-0", status=StepStatus.WAITING)
            timer = wait(waiting, WaitKind.TIMER, due_at=utcnow() + due_in)
            ledger = worker.ledger(claim)
            await ledger.write(LedgerBatch(waits=[timer]))
            await ledger.write(parked(claim.wakes))
        assert {claim.id for claim in claims} == set(ids)


async def test_timers_fire_though_every_worker_was_killed(yard: Yard) -> None:
    ids = [await yard.submit(ring=no_ring) for _ in range(10)]
    await _wait_for_timers(yard, ids, timedelta(hours=1))
    workers = await yard.start_many(2)
    assert {await yard.status(id_) for id_ in ids} == {"waiting"}
    await _kill(*workers)
    # The hour passes while nobody is there.
    await yard.view.run("UPDATE waits SET due_at = now() - interval '1 s' WHERE execution_id = ANY ($1)", ids)
    await asyncio.sleep(1.5)
    assert {await yard.status(id_) for id_ in ids} == {"waiting"}
    await yard.start_many(2)

    ended = await yard.all_ended(ids, within=20)

    assert {row["status"] for row in ended} == {"succeeded"}
    assert {row["wakes"] for row in ended} == {1}
    for id_ in ids:
        assert [line["data"].get("reason") for line in await yard.view.events(id_)].count("answered") == 1
    assert set(yard.begun().values()) == {1}


async def test_a_cancelled_tree_ends_though_every_worker_was_killed(yard: Yard) -> None:
    """R11. A root that runs, with three children: two that run and one that waits in the queue."""
    workers = await yard.start_many(2, QUARTERDECK_WORKER_INGESTION_CAPACITY="2")
    root, *children = [await yard.submit(steps=100, seconds=0.5) for _ in range(5)]
    await yard.view.run(
        "UPDATE executions SET parent_id = $1, root_id = $1, depth = 1 WHERE id = ANY ($2)", root, children
    )

    async def both_are_full() -> bool:
        statuses = [await yard.status(id_) for id_ in (root, *children)]
        return (statuses.count("running"), statuses.count("queued")) == (4, 1)

    await eventually(both_are_full)
    await yard.have_begun(4)

    await yard.ask_to_cancel(root)
    await _kill(*workers)
    flagged = [await yard.status(id_) for id_ in (root, *children)]
    begun = yard.begun()
    await yard.start_many(2)
    ended = await yard.all_ended([root, *children], within=LEASE + 15)

    assert flagged.count("cancelled") >= 1
    assert {row["status"] for row in ended} == {"cancelled"}
    assert yard.begun() == begun, "no step was started again"


async def test_a_cancelled_tree_that_runs_stops_within_five_seconds(yard: Yard) -> None:
    """R11, with Redis emptied and its hint lost: what counts is the flag."""
    await yard.start_many(2)
    root, *children = [await yard.submit(steps=100, seconds=0.1) for _ in range(6)]
    await yard.view.run("UPDATE executions SET parent_id = $1, root_id = $1 WHERE id = ANY ($2)", root, children)
    await yard.running(root, *children)
    await yard.have_begun(6)
    asked = utcnow()
    await yard.ask_to_cancel(root)

    ended = await yard.all_ended([root, *children], within=10)

    assert {row["status"] for row in ended} == {"cancelled"}
    last = await yard.view.connection.fetchval(
        "SELECT max(started_at) FROM task_executions WHERE execution_id = ANY ($1)", [root, *children]
    )
    assert last - asked < timedelta(seconds=5)


async def test_a_pause_holds_under_kills_and_what_was_done_is_kept(yard: Yard) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - a failure is repeated with it
    chance = random.Random(seed)
    workers = await yard.start_many(2)
    ids = [await yard.submit(steps=8, seconds=0.3) for _ in range(6)]
    await yard.have_begun(10)
    by_workers, by_death = ids[:3], ids[3:]

    for id_ in by_workers:
        assert await yard.pause(id_) == "running"
    await yard.has_status("paused", *by_workers, within=8)

    await _kill(*workers)  # before they could let go of what comes now
    for id_ in by_death:
        assert await yard.pause(id_) == "running"
    await asyncio.sleep(chance.uniform(0, 1))
    await yard.start_many(2)
    await yard.has_status("paused", *by_death, within=LEASE + 15)
    begun, recorded = yard.begun(), await yard.succeeded_steps()
    await asyncio.sleep(2)
    assert yard.begun() == begun, "nothing goes on"

    for id_ in ids:
        assert await yard.resume(id_) == "queued"
    ended = await yard.all_ended(ids, within=40)

    assert {row["status"] for row in ended} == {"succeeded"}
    assert [row["attempts"] for row in ended] == [0, 0, 0, 1, 1, 1]
    after = yard.begun()
    assert {each: after[each] for each in recorded} == {each: begun[each] for each in recorded}, "nothing twice"


async def test_a_workflows_limit_is_never_exceeded_and_others_go_on(yard: Yard) -> None:
    """Two workers, one of which is killed in the middle."""
    limit = 2
    workflow = new_id()
    await yard.view.run(
        "INSERT INTO workflows (id, tenant_id, name, latest_version, max_running) VALUES ($1, $2, 'narrow', 1, $3)",
        workflow, yard.account.tenant_id, limit,
    )  # fmt: skip
    workers = await yard.start_many(2)
    limited = [await yard.submit(steps=2, seconds=0.5, limited_by=workflow) for _ in range(8)]
    others = [await yard.submit(seconds=0.5) for _ in range(12)]
    await yard.have_begun(6)
    doomed = await busiest(workers)
    assert await doomed.executions() > 0
    await _kill(doomed)
    ended = await yard.all_ended(others, within=30)
    still_open = [id_ for id_ in limited if await yard.status(id_) in ("queued", "running")]
    assert still_open, "the others did not wait for the limited"
    ended += await yard.all_ended(limited, within=60)

    assert {row["status"] for row in ended} == {"succeeded"}
    assert await _most_at_once(yard, limited) == limit


async def _most_at_once(yard: Yard, ids: list[UUID]) -> int:
    """By the streams: how many of these ran at the same moment, at most."""
    rows = await yard.view.connection.fetch(
        "SELECT at, CASE WHEN data ->> 'status' = 'running' THEN 1 ELSE -1 END AS change FROM execution_events"
        " WHERE execution_id = ANY ($1) AND (type = 'done' OR (type = 'execution.status'"
        " AND (data ->> 'status' = 'running' OR data ->> 'reason' = 'worker_lost'))) ORDER BY at, change",
        ids,
    )
    return max(itertools.accumulate(row["change"] for row in rows))
