"""One worker that nothing is done to."""

import asyncio
import statistics
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.executions.support import LedgerView, owner_connection
from tests.support.platform import Platform
from tests.worker.processes import Process, Yard, eventually, open_yard


@pytest.fixture(scope="module")
async def yard(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Yard]:
    connection = await owner_connection(platform)
    directory: Path = tmp_path_factory.mktemp("worker")
    async with open_yard(platform, await platform.register("Ada"), LedgerView(connection), directory) as opened:
        await opened.start(QUARTERDECK_LEASE_SECONDS="30")
        yield opened
    await connection.close()


@pytest.fixture
def worker(yard: Yard) -> Process:
    return yard.processes[0]


async def test_the_doorbell_is_heard_at_once(yard: Yard, worker: Process) -> None:
    waits: list[float] = []
    for _ in range(9):
        (row,) = await yard.all_ended([await yard.submit(seconds=0)], within=10)
        waits.append((row["started_at"] - row["created_at"]).total_seconds())
        await asyncio.sleep(0.05)

    assert await worker.metric("quarterdeck_worker_rings_total") >= 9
    # Ten milliseconds on an idle machine; polling would show as a second.
    assert statistics.median(waits) < 0.3, f"{waits}\n{worker.log.read_text()[-3000:]}"


async def test_what_a_job_does_is_on_record(yard: Yard) -> None:
    id_ = await yard.submit(steps=2, seconds=0.2, chatter=20)
    (row,) = await yard.all_ended([id_], within=10)

    assert (row["status"], row["output"], row["epoch"]) == ("succeeded", {"steps": 2}, 1)
    assert [(step["node"], step["status"], step["output"]) for step in await yard.view.steps(id_)] == [
        ("step-0", "succeeded", {"number": 0}),
        ("step-1", "succeeded", {"number": 1}),
    ]
    types = [event["type"] for event in await yard.view.events(id_)]
    assert types[:2] == ["execution.status", "execution.status"]
    assert types[-1] == "done"
    assert types.count("log") > 2


async def test_a_failed_job_says_why(yard: Yard) -> None:
    (row,) = await yard.all_ended([await yard.submit(fails=True)], within=10)
    assert row["status"] == "failed"
    assert row["error"]["code"] == "drill_failed"
    assert row["error"]["details"] == {"number": 0}
    assert (await yard.view.steps(row["id"]))[0]["error"]["code"] == "drill_failed"


async def test_a_running_execution_is_cancelled_within_a_second(yard: Yard) -> None:
    id_ = await yard.submit(steps=5, seconds=10)
    await yard.running(id_)
    assert await yard.ask_to_cancel(id_) == "running"

    async def cancelled() -> bool:
        return await yard.status(id_) == "cancelled"

    assert await eventually(cancelled) < 1.5
    assert {step["status"] for step in await yard.view.steps(id_)} <= {"cancelled"}


async def test_a_cancel_that_nobody_told_of_is_heard_within_five_seconds(yard: Yard) -> None:
    """R11: as when Redis is away. Only the flag in Postgres is there."""
    id_ = await yard.submit(steps=100, seconds=0.2)
    await yard.running(id_)
    await yard.view.run("UPDATE executions SET cancel_requested_at = now() WHERE id = $1", id_)

    async def cancelled() -> bool:
        return await yard.status(id_) == "cancelled"

    await eventually(cancelled, within=5)


async def test_operators_can_ask_how_it_is(worker: Process) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{worker.port}") as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready"}
    assert await worker.metric("quarterdeck_worker_capacity") == 20
    assert await worker.metric("quarterdeck_worker_ready") == 1
    assert await worker.metric("quarterdeck_execution_queued_seconds_count") > 0
