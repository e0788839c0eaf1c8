"""The stream of an execution against real Postgres and Valkey, whatever happens between the two."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

import pytest

from shared.database.session import Scope
from shared.events.hub import BACKLOG, Hub
from shared.events.stream import POLL_SECONDS, stream
from shared.executions.errors import ExecutionNotFound
from shared.executions.events import channel
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform


@pytest.fixture
async def hub(platform: Platform) -> AsyncGenerator[Hub]:
    hub = Hub(platform.settings.broker_url.get_secret_value())
    yield hub
    await hub.close()


async def collect(ledger: Seeder, hub: Hub, execution_id: UUID, after: int = 0) -> list[JsonObject]:
    """The whole stream up to its end."""
    async with asyncio.timeout(20), aclosing(stream(ledger.database, hub, ledger.scope, execution_id, after)) as lists:
        return [event async for listed in lists for event in listed]


def numbers(events: list[JsonObject]) -> list[int]:
    return [event["seq"] for event in events]


async def test_a_finished_execution_is_read_from_postgres_and_ends(ledger: Seeder, hub: Hub) -> None:
    execution_id = await ledger.execution()
    await ledger.append(execution_id, *[("log", {"n": n}) for n in range(1203)])
    await ledger.finish(execution_id)
    events = await collect(ledger, hub, execution_id)
    assert numbers(events) == list(range(1, 1206))
    assert events[-1]["type"] == "done"
    assert set(events[0]) == {"seq", "type", "at", "step", "data"}
    assert numbers(await collect(ledger, hub, execution_id, after=1203)) == [1204, 1205]
    assert await collect(ledger, hub, execution_id, after=1205) == []
    assert await collect(ledger, hub, execution_id, after=10**12) == []


async def test_what_happens_now_arrives_at_once(ledger: Seeder, hub: Hub) -> None:
    execution_id = await ledger.execution()
    delays: list[float] = []

    async def read() -> list[JsonObject]:
        events: list[JsonObject] = []
        async with aclosing(stream(ledger.database, hub, ledger.scope, execution_id, 0)) as lists:
            async for listed in lists:
                listening.set()
                events += listed
                delays.extend(time.perf_counter() - e["data"]["sent"] for e in listed if "sent" in e["data"])
        return events

    listening = asyncio.Event()
    reading = asyncio.create_task(read())
    await asyncio.wait_for(listening.wait(), 5)
    for _ in range(20):
        await ledger.append(execution_id, ("log", {"sent": time.perf_counter()}))
    await ledger.finish(execution_id)
    events = await asyncio.wait_for(reading, 5)
    assert numbers(events) == list(range(1, 23))
    assert sorted(delays)[len(delays) // 2] < 0.2  # far below what polling gives


async def test_what_was_never_published_is_found_by_asking_postgres(ledger: Seeder, hub: Hub) -> None:
    execution_id = await ledger.execution()
    reading = asyncio.create_task(collect(ledger, hub, execution_id))
    await asyncio.sleep(0.3)
    await ledger.append(execution_id, ("log", {}), publish=False)  # a gap before the next, published one
    await ledger.append(execution_id, ("log", {}))
    await ledger.finish(execution_id, publish=False)
    started = time.monotonic()
    assert numbers(await reading) == [1, 2, 3, 4]
    assert time.monotonic() - started < POLL_SECONDS * 2 + 1


async def test_redis_away_costs_time_and_nothing_else(ledger: Seeder) -> None:
    hub = Hub("redis://127.0.0.1:1/0")
    try:
        execution_id = await ledger.execution()
        await ledger.append(execution_id, ("log", {}))
        reading = asyncio.create_task(collect(ledger, hub, execution_id))
        await asyncio.sleep(0.7)
        await ledger.finish(execution_id)
        assert numbers(await reading) == [1, 2, 3]
    finally:
        await hub.close()


async def test_a_broken_connection_is_made_again(ledger: Seeder, hub: Hub, platform: Platform) -> None:
    execution_id = await ledger.execution()
    async with hub.watch(channel(execution_id)) as watcher:
        await ledger.append(execution_id, ("log", {}))
        assert numbers(await watcher.next(5)) == [1]
        killed = await platform.resources.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert killed >= 1
        arrived: list[int] = []
        async with asyncio.timeout(10):
            while not arrived:
                await asyncio.sleep(0.3)
                await ledger.append(execution_id, ("log", {}))
                arrived = numbers(await watcher.next(0.05))
        assert arrived[0] > 1


async def test_many_watch_over_one_connection_and_leave_nothing_behind(
    ledger: Seeder, hub: Hub, platform: Platform
) -> None:
    redis = platform.resources.redis
    executions = [await ledger.execution() for _ in range(20)]

    async def connections() -> int:
        return len(await redis.client_list(_type="pubsub"))

    before = await connections()
    readers = [asyncio.create_task(collect(ledger, hub, execution_id)) for execution_id in executions for _ in range(5)]
    await asyncio.sleep(0.5)
    assert await connections() == before + 1
    for execution_id in executions:
        await ledger.finish(execution_id)
    for events in await asyncio.gather(*readers):
        assert numbers(events) == [1, 2]
    await asyncio.sleep(0.1)
    channels = await redis.execute_command("PUBSUB", "CHANNELS", "executions:*")
    assert not {f"executions:{execution_id}".encode() for execution_id in executions} & set(channels)


async def test_a_slow_reader_holds_little_and_loses_nothing(ledger: Seeder, hub: Hub) -> None:
    execution_id = await ledger.execution()
    async with aclosing(stream(ledger.database, hub, ledger.scope, execution_id, 0)) as lists:
        await anext(lists)
        quick = asyncio.create_task(collect(ledger, hub, execution_id))
        for _ in range(BACKLOG * 2):  # nobody takes them meanwhile
            await ledger.append(execution_id, ("log", {}))
        await ledger.finish(execution_id)
        assert len(numbers(await asyncio.wait_for(quick, 5))) == BACKLOG * 2 + 2
        events = [event async for listed in lists for event in listed]
    assert numbers(events) == list(range(1, BACKLOG * 2 + 3))


async def test_the_database_is_free_while_nothing_happens(ledger: Seeder, hub: Hub) -> None:
    execution_id = await ledger.execution()
    async with aclosing(stream(ledger.database, hub, ledger.scope, execution_id, 0)) as lists:
        assert await anext(lists) == []
        waiting = asyncio.ensure_future(anext(lists))
        await asyncio.sleep(0.3)
        assert ledger.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert await asyncio.wait_for(waiting, POLL_SECONDS + 2) == []


async def test_another_tenants_execution_is_not_there(ledger: Seeder, hub: Hub, bob: Account) -> None:
    execution_id = await ledger.execution()
    for scope, wanted in ((Scope(bob.tenant_id), execution_id), (ledger.scope, new_id()), (Scope(), execution_id)):
        async with aclosing(stream(ledger.database, hub, scope, wanted, 0)) as lists:
            with pytest.raises(ExecutionNotFound):
                await anext(lists)


async def test_a_stream_taken_up_again_and_again_equals_the_database(ledger: Seeder, hub: Hub) -> None:
    rng = random.Random(11)
    execution_id = await ledger.execution()
    total = 300

    async def write() -> None:
        for n in range(total):
            await ledger.append(execution_id, ("log", {"n": n}), publish=rng.random() > 0.1)
            if rng.random() < 0.05:
                await asyncio.sleep(0.02)
        await ledger.finish(execution_id)

    writing = asyncio.create_task(write())
    seen: list[JsonObject] = []
    cuts = 0
    async with asyncio.timeout(60):
        while not seen or seen[-1]["type"] != "done":
            after = seen[-1]["seq"] if seen else 0
            async with aclosing(stream(ledger.database, hub, ledger.scope, execution_id, after)) as lists:
                async for listed in lists:
                    seen += listed
                    if rng.random() < 0.1:
                        cuts += 1
                        break
    await writing
    assert cuts > 3
    assert numbers(seen) == list(range(1, total + 3))
    assert [event["data"]["n"] for event in seen if event["type"] == "log"] == list(range(total))
