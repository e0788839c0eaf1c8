import asyncio
import statistics

from redis.asyncio import Redis

from shared.kit.json import dumps, loads
from shared.tasks.doorbell import WAKE_QUEUE, Doorbell, wake_message
from tests.support.platform import Platform
from tests.worker.processes import Yard, eventually


async def test_rings_at_once_are_one_ring_and_a_last_one(platform: Platform) -> None:
    redis = platform.resources.redis
    await redis.delete(WAKE_QUEUE)
    bell = Doorbell(redis)

    await bell.ring()
    await asyncio.sleep(0)  # it is on its way now
    for _ in range(1000):
        await bell.ring()
    await bell.close()

    assert await redis.llen(WAKE_QUEUE) == 2
    await redis.delete(WAKE_QUEUE)


async def test_unheard_rings_do_not_pile_up(platform: Platform) -> None:
    redis = platform.resources.redis
    await redis.delete(WAKE_QUEUE)
    bells = [Doorbell(redis) for _ in range(30)]

    for bell in bells:
        await bell.ring()
    await asyncio.gather(*(bell.close() for bell in bells))

    assert await redis.llen(WAKE_QUEUE) == 16
    await redis.delete(WAKE_QUEUE)


async def test_nobody_waits_for_a_redis_that_is_away() -> None:
    redis = Redis(host="127.0.0.1", port=1)
    bell = Doorbell(redis)
    async with asyncio.timeout(0.1):
        for _ in range(100):
            await bell.ring()
    await bell.close()
    await redis.aclose()


async def test_a_full_worker_passes_it_on(yard: Yard) -> None:
    full = await yard.start(QUARTERDECK_WORKER_INGESTION_CAPACITY="1")
    await yard.submit(seconds=20)

    async def is_busy() -> bool:
        return await full.executions() == 1

    await eventually(is_busy)
    await yard.start()
    waits: list[float] = []
    for _ in range(6):
        id_ = await yard.submit(seconds=0)
        (row,) = await yard.all_ended([id_], within=10)
        waits.append((row["started_at"] - row["created_at"]).total_seconds())
        await asyncio.sleep(0.7)

    assert statistics.median(waits) < 0.5, waits


async def test_what_is_no_message_of_ours_makes_nobody_deaf(yard: Yard) -> None:
    worker = await yard.start()
    redis = yard.platform.resources.redis
    strange = loads(wake_message()) | {"content-type": "application/data", "content-encoding": "binary"}
    await redis.lpush(WAKE_QUEUE, "not JSON", dumps(strange))

    async def is_heard() -> bool:
        rings = await worker.metric("quarterdeck_worker_rings_total")
        await yard.all_ended([await yard.submit(seconds=0)], within=10)
        await asyncio.sleep(0.1)
        return await worker.metric("quarterdeck_worker_rings_total") > rings

    await asyncio.sleep(1)
    await eventually(is_heard, within=20)
    assert "starts again" in worker.log.read_text(), "the listener was ended by it"
