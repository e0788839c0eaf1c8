"""What is promised when workers die, freeze or leave. Each fault is shown to have happened."""

import asyncio
import itertools
import random
import signal
import time
from datetime import datetime
from uuid import UUID

from shared.kit.clock import utcnow
from tests.worker.processes import LEASE, Yard, busiest, eventually


async def test_kill_9_in_mid_run_loses_nothing_and_repeats_nothing_recorded(yard: Yard) -> None:
    """R1, R5, R7."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - a failure is repeated with it
    chance = random.Random(seed)
    workers = await yard.start_many(3)
    ids = [await yard.submit(steps=8, seconds=0.5) for _ in range(10)]
    recorded: set[tuple[UUID, int]] = set()
    begun_by_then: dict[tuple[UUID, int], int] = {}
    kills: list[datetime] = []
    interrupted = 0
    for kill in (1, 2):
        await yard.have_begun(15 * kill)
        await asyncio.sleep(chance.uniform(0, 0.3))
        victim = await yard.in_mid_step(workers)
        victim.signal(signal.SIGKILL)
        assert await victim.ended(5) == -signal.SIGKILL
        kills.append(utcnow())
        workers.remove(victim)
        recorded = await yard.succeeded_steps()
        begun_by_then = dict(yard.begun())
        interrupted += len(set(begun_by_then) - recorded)

    ended = await yard.all_ended(ids, within=60)

    assert {row["status"] for row in ended} == {"succeeded"}
    assert max(row["attempts"] for row in ended) >= 1, "an execution lost its worker"
    begun = yard.begun()
    assert interrupted > 0, "a step was interrupted"
    assert sum(begun.values()) <= 80 + interrupted
    assert {step: begun[step] for step in recorded} == {step: begun_by_then[step] for step in recorded}
    for id_ in ids:
        events = await yard.view.events(id_)
        assert [event["type"] for event in events].count("done") == 1
        for lost, following in itertools.pairwise(events):
            if lost["data"].get("reason") == "worker_lost":
                died = max(kill for kill in kills if kill < lost["at"])
                assert (following["at"] - died).total_seconds() < LEASE + 15


async def test_an_emptied_redis_loses_nothing(yard: Yard) -> None:
    """R8."""
    redis = yard.platform.resources.redis
    worker = await yard.start(QUARTERDECK_WORKER_INGESTION_CAPACITY="3")
    ids = [await yard.submit(steps=2, seconds=0.2) for _ in range(12)]
    seen: set[str] = set()
    for _ in range(8):
        seen |= {await yard.status(id_) for id_ in ids}
        await redis.flushdb()
        await asyncio.sleep(0.2)
    assert {"queued", "running"} <= seen, "it was emptied while some were queued and some were running"

    late = await yard.submit(seconds=0)
    await redis.flushdb()
    ended = await yard.all_ended([*ids, late], within=40)

    assert {row["status"] for row in ended} == {"succeeded"}
    assert {row["attempts"] for row in ended} == {0}
    assert set(yard.begun().values()) == {1}
    assert await worker.metric("quarterdeck_leases_lost_total") == 0


async def test_a_worker_that_was_stopped_for_three_leases_cannot_write(yard: Yard) -> None:
    """R4. It writes twenty times a second, so it is stopped in the middle of things and goes on there."""
    stale, fresh = await yard.start_many(2)
    ids = [await yard.submit(steps=1, seconds=3 * LEASE + 6, chatter=20) for _ in range(5)]
    await yard.running(*ids)
    await asyncio.sleep(0.5)
    if await stale.executions() == 0:
        stale, fresh = fresh, stale
    held = await stale.executions()
    stale.signal(signal.SIGSTOP)
    stopped = time.monotonic()

    async def taken_over() -> bool:
        return await fresh.executions() == 5

    await eventually(taken_over, within=LEASE + 15)
    epochs = {id_: (await yard.view.execution(id_))["epoch"] for id_ in ids}
    await asyncio.sleep(max(0.0, 3 * LEASE - (time.monotonic() - stopped)))
    stale.signal(signal.SIGCONT)

    async def rejected() -> bool:
        return await stale.metric("quarterdeck_ledger_writes_rejected_total") > 0

    await eventually(rejected, within=10)
    ended = await yard.all_ended(ids, within=60)

    assert held > 0, "the stopped worker held some"
    assert {row["status"] for row in ended} == {"succeeded"}
    assert {id_: row["epoch"] for id_, row in zip(ids, ended, strict=True)} == epochs, "the new holder kept them"
    assert await stale.executions() == 0, "it let go of all it had held"
    for id_, row in zip(ids, ended, strict=True):
        # What each holder logged counts up from one: a stale line would be out of order.
        numbers = [event["data"]["number"] for event in await yard.view.events(id_) if event["type"] == "log"]
        starts = [place for place, number in enumerate(numbers) if number == 1]
        assert len(starts) == row["attempts"] + 1
        assert numbers == [*range(1, starts[-1] + 1), *range(1, len(numbers) - starts[-1] + 1)]


async def test_a_rolling_restart_loses_and_repeats_nothing(yard: Yard) -> None:
    """R18: and nobody waits for a lease to end."""
    patient = {"QUARTERDECK_LEASE_SECONDS": "60"}
    workers = await yard.start_many(4, **patient)
    ids = [await yard.submit(steps=8, seconds=1) for _ in range(12)]
    await yard.running(*ids)
    while len(workers) > 1:
        old = await busiest(workers)
        workers.remove(old)
        old.signal(signal.SIGTERM)
        assert await old.ended(5) == 0

        async def all_held() -> bool:
            return sum([await worker.executions() for worker in workers]) >= await yard.open_executions()

        await eventually(all_held, within=5)

    ended = await yard.all_ended(ids, within=40)

    assert {row["status"] for row in ended} == {"succeeded"}
    assert {row["attempts"] for row in ended} == {0}
    handed_over = sum(row["epoch"] - 1 for row in ended)
    assert handed_over > 0, "executions were handed over"
    assert sum(yard.begun().values()) - 12 * 8 <= handed_over, "of each only the step under way is begun again"


async def test_what_will_not_stop_is_released_and_a_second_signal_ends_it_at_once(yard: Yard) -> None:
    worker = await yard.start(QUARTERDECK_LEASE_SECONDS="60")
    id_ = await yard.submit(steps=1, seconds=60, stubborn=60)
    await yard.have_begun(1)
    worker.signal(signal.SIGTERM)
    assert await worker.ended(12) == 0
    assert await yard.status(id_) == "queued"

    impatient = await yard.start()
    await yard.have_begun(2)
    impatient.signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    impatient.signal(signal.SIGTERM)
    assert await impatient.ended(1) == 1


async def test_a_poison_execution_is_set_aside_and_hurts_no_neighbour(yard: Yard) -> None:
    """R10: it ends its worker by exit, by a segmentation fault, by being killed for memory, and again."""
    await yard.start()
    poison = await yard.submit(seconds=0.4, deadly=["exit", "segfault", "out of memory"])
    neighbours = [await yard.submit(steps=3, seconds=0.3) for _ in range(8)]
    codes: list[int] = []

    async def supervise() -> None:
        while True:
            codes.append(await yard.processes[-1].ended(120))
            await yard.start()

    supervisor = asyncio.create_task(supervise())
    ended = await yard.all_ended([poison, *neighbours], within=90)
    supervisor.cancel()

    assert codes == [3, -signal.SIGSEGV, -signal.SIGKILL, 3, -signal.SIGSEGV]
    assert ended[0]["status"] == "failed"
    assert ended[0]["error"]["code"] == "poison"
    assert {row["status"] for row in ended[1:]} == {"succeeded"}


async def test_a_cancel_outlives_every_worker(yard: Yard) -> None:
    """R11."""
    worker = await yard.start()
    id_ = await yard.submit(steps=3, seconds=5)
    await yard.have_begun(1)
    worker.signal(signal.SIGKILL)
    await worker.ended(5)
    assert await yard.ask_to_cancel(id_) == "running"
    begun = yard.begun()
    await yard.start()

    (row,) = await yard.all_ended([id_], within=LEASE + 15)

    assert row["status"] == "cancelled"
    assert yard.begun() == begun, "no step was started again"


async def test_without_the_database_longer_than_the_lease_nothing_goes_on(yard: Yard) -> None:
    """R9, the hard way: the database refuses everybody's writes, then takes them again."""
    worker = await yard.start()
    ids = [await yard.submit(steps=30, seconds=0.3) for _ in range(4)]
    await yard.have_begun(4)
    owner = yard.view.connection
    app = f'ALTER ROLE quarterdeck_app IN DATABASE "{await owner.fetchval("SELECT current_database()")}"'
    try:
        await owner.execute(f"{app} SET default_transaction_read_only = on")
        await _cut(yard)
        await asyncio.sleep(LEASE + 2)
        begun = yard.begun()
        await asyncio.sleep(1)
        assert yard.begun() == begun, "no step is begun under a lease that is over"
        assert await worker.executions() == 0
    finally:
        await owner.execute(f"{app} RESET default_transaction_read_only")
        await _cut(yard)

    ended = await yard.all_ended(ids, within=60)

    assert await worker.metric("quarterdeck_heartbeats_failed_total") > 0
    assert {row["status"] for row in ended} == {"succeeded"}
    assert {row["attempts"] for row in ended} == {0}, "no worker died, and none is blamed"


async def _cut(yard: Yard) -> None:
    cut = await yard.view.connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'quarterdeck worker' AND datname = current_database()"
    )
    assert cut > 0
