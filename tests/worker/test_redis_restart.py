"""Redis dies and comes back: meanwhile nothing waits longer than a poll, and then the doorbell is heard again."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cli.stack.ports import find_free
from cli.stack.valkey import Valkey
from shared.tasks.doorbell import Doorbell
from tests.worker.processes import Process, Yard, eventually


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncGenerator[Valkey]:
    """A Valkey of this test's own, which it may kill."""
    component = Valkey(tmp_path / "valkey", port=find_free(), password="test", log=tmp_path / "valkey.log")
    await component.start()
    yield component
    await component.stop()


@pytest.fixture
async def bell(valkey: Valkey) -> AsyncGenerator[Doorbell]:
    redis = Redis.from_url(valkey.url)
    opened = Doorbell(redis)
    yield opened
    await opened.close()
    await redis.aclose()


async def test_work_goes_on_without_redis_and_at_once_with_it_again(yard: Yard, valkey: Valkey, bell: Doorbell) -> None:
    """R8."""

    async def has_heard_more_than(worker: Process, rings: float) -> bool:
        await wait_of_one()
        return await worker.metric("quarterdeck_worker_rings_total") > rings

    async def wait_of_one() -> float:
        (row,) = await yard.all_ended([await yard.submit(seconds=0, ring=bell.ring)], within=10)
        return (row["started_at"] - row["created_at"]).total_seconds()

    worker = await yard.start(BROKER_URL=valkey.url)
    await eventually(partial(has_heard_more_than, worker, 0))
    await bell.close()
    await asyncio.sleep(1.5)  # the last ring may be on its way, on a busy machine
    heard = await worker.metric("quarterdeck_worker_rings_total")
    assert valkey.process is not None
    valkey.process.kill()
    await valkey.process.wait(5)

    polled = [await wait_of_one() for _ in range(3)]
    assert await worker.metric("quarterdeck_worker_rings_total") == heard, "nothing was heard while Redis was away"
    await valkey.start()

    back = await eventually(partial(has_heard_more_than, worker, heard), within=40)
    waits = sorted([await wait_of_one() for _ in range(5)])

    assert max(polled) < 5
    assert waits[2] < 0.5, f"heard again after {back:.1f} s, yet {waits}"
