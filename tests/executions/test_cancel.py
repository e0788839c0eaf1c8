import asyncio

import pytest

from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from shared.executions.cancel import cancel
from shared.executions.errors import ExecutionEnded, ExecutionNotFound
from shared.executions.events import LOOK_CHANNEL, channel
from shared.kit.ids import new_id
from shared.kit.json import loads
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform


async def _cancel(platform: Platform, account: Account, row: ExecutionRow) -> ExecutionRow:
    async with platform.resources.database.write(Scope(account.tenant_id)) as session:
        return await cancel(session, row.id, platform.resources.redis)


async def _pretend_running(view: LedgerView, row: ExecutionRow) -> None:
    await view.run("UPDATE executions SET status = 'running', epoch = 1, worker = 'w' WHERE id = $1", row.id)


async def test_a_queued_execution_is_cancelled_at_once(platform: Platform, ada: Account, view: LedgerView) -> None:
    row = await queue(platform, ada)

    cancelled = await _cancel(platform, ada, row)

    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    assert cancelled.cancel_requested_at is not None
    assert (await view.execution(row.id))["epoch"] == 1, "a worker that had it before is fenced off"
    assert [(event["type"], event["data"]) for event in await view.events(row.id)] == [
        ("execution.status", {"status": "queued"}),
        ("done", {"status": "cancelled", "output": None, "error": None}),
    ]


async def test_steps_left_open_by_an_earlier_worker_end_with_it(
    platform: Platform, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    for node, status in (("first", "succeeded"), ("second", "running"), ("third", "waiting")):
        await view.run(
            "INSERT INTO task_executions (id, tenant_id, execution_id, node, type, path, attempt, generation, status,"
            " started_at) VALUES ($1, $2, $3, $4, 'transform', '', 1, 1, $5, now() - interval '2 s')",
            new_id(), ada.tenant_id, row.id, node, status,
        )  # fmt: skip

    await _cancel(platform, ada, row)

    assert [step["status"] for step in await view.steps(row.id)] == ["succeeded", "cancelled", "cancelled"]
    _, second, third, done = await view.events(row.id)
    assert [second["node"], third["node"], done["type"]] == ["second", "third", "done"]
    assert second["data"]["status"] == "cancelled"
    assert second["data"]["duration_ms"] >= 2000


async def test_a_running_execution_is_flagged_and_its_worker_told(
    platform: Platform, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    await _pretend_running(view, row)
    async with platform.resources.redis.pubsub() as listener:
        await listener.subscribe(LOOK_CHANNEL, channel(row.id))
        heard: dict[str, bytes] = {}

        asked = await _cancel(platform, ada, row)

        while len(heard) < 2:
            message = await asyncio.wait_for(listener.get_message(ignore_subscribe_messages=True, timeout=5), 5)
            if message is not None:
                heard[message["channel"].decode()] = message["data"]

    assert asked.status == "running"
    assert asked.cancel_requested_at is not None
    assert heard[LOOK_CHANNEL].decode() == str(row.id)
    stored = (await view.events(row.id))[-1]
    assert loads(heard[channel(row.id)]) == [
        {
            "seq": 2,
            "type": "execution.status",
            "at": stored["at"].isoformat(),
            "step": None,
            "data": {"status": "running", "cancel_requested": True},
        }
    ]


async def test_asking_again_changes_nothing(platform: Platform, ada: Account, view: LedgerView) -> None:
    row = await queue(platform, ada)
    await _pretend_running(view, row)

    first = await _cancel(platform, ada, row)
    second = await _cancel(platform, ada, row)

    assert first.cancel_requested_at == second.cancel_requested_at
    assert len(await view.events(row.id)) == 2


async def test_what_has_ended_cannot_be_cancelled(platform: Platform, ada: Account) -> None:
    row = await queue(platform, ada)
    await _cancel(platform, ada, row)
    with pytest.raises(ExecutionEnded):
        await _cancel(platform, ada, row)


async def test_of_many_at_once_one_ends_it(platform: Platform, ada: Account, view: LedgerView) -> None:
    row = await queue(platform, ada)
    answers = await asyncio.gather(*(_cancel(platform, ada, row) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(answer, ExecutionRow) for answer in answers) == 1
    assert sum(isinstance(answer, ExecutionEnded) for answer in answers) == 9
    assert [event["type"] for event in await view.events(row.id)] == ["execution.status", "done"]


async def test_anothers_execution_is_not_there(
    platform: Platform, ada: Account, bob: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    with pytest.raises(ExecutionNotFound):
        await _cancel(platform, bob, row)
    assert (await view.execution(row.id))["status"] == "queued"
