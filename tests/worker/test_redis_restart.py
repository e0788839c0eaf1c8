"""Redis dies and comes back: meanwhile nothing waits longer than a poll, and then the doorbell is heard again."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cli.stack.ports import find_free
from cli.stack.valkey import Valkey
from shared.tasks.doorbell import Doorbell
from tests.worker.processes import Yard, eventually


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncGenerator[Valkey]:
    """A Valkey of this test's own, which it may kill."""
    component = Valkey(tmp_path / "valkey", port=find_free(), password="test", log=tmp_path / "valkey.log")
    await component.start()
    yield component
    await component.stop()


async def test_work_goes_on_without_redis_and_at_once_with_it_again(yard: Yard, valkey: Valkey) -> None:
    """R8."""
    redis = Redis.from_url(valkey.url)
    bell = Doorbell(redis)

    async def wait_of_one() -> float:
        (row,) = await yard.all_ended([await yard.submit(seconds=0, ring=bell.ring)], within=10)
        return (row["started_at"] - row["created_at"]).total_seconds()

    worker = await yard.start(BROKER_URL=valkey.url)
    await wait_of_one()
    heard = await worker.metric("quarterdeck_worker_rings_total")
    assert heard > 0
    assert valkey.process is not None
    valkey.process.kill()
    await valkey.process.wait(5)

    polled = [await wait_of_one() for _ in range(3)]
    assert await worker.metric("quarterdeck_worker_rings_total") == heard, "nothing was heard while Redis was away"
    await valkey.start()

    async def heard_again() -> bool:
        await wait_of_one()
        return await worker.metric("quarterdeck_worker_rings_total") > heard

    back = await eventually(heard_again, within=40)
    waits = sorted([await wait_of_one() for _ in range(5)])

    assert max(polled) < 5
    assert waits[2] < 0.5, f"heard again after {back:.1f} s, yet {waits}"
    await redis.aclose()
