"""Nobody who keeps the order of locks is caught in a deadlock; who is all the same sends again."""

import asyncio

from services.orchestration.engine.ports import ExecutionStatus, LedgerBatch, StepStatus, Transition
from tests.executions.lab import Lab, event, step, wait
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform
from tests.worker.processes import eventually


async def _deadlocks(view: LedgerView) -> int:
    await view.run("SELECT pg_stat_force_next_flush()")
    return await view.connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


async def test_a_write_that_postgres_picks_to_undo_a_deadlock_is_sent_again(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """Somebody locks a wait first and its execution second: the wrong way round."""
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    asked = wait(asking)
    await ledger.write(LedgerBatch(steps=[asking], waits=[asked]))
    before = await _deadlocks(view)

    async with view.connection.transaction():
        # Of two in a deadlock it is the one that looks first who gives up: let that be the other.
        await view.run("SET LOCAL deadlock_timeout = '60s'")
        await view.connection.execute("SELECT 1 FROM waits WHERE id = $1 FOR UPDATE", asked.id)
        end = LedgerBatch(events=[event(type_="done")], transition=Transition(ExecutionStatus.SUCCEEDED))
        ending = asyncio.create_task(ledger.write(end))
        await asyncio.sleep(0.2)
        await view.connection.execute("SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", row.id)
        assert not ending.done()
    await asyncio.wait_for(ending, 5)

    async def has_happened() -> bool:
        return await _deadlocks(view) > before  # the server counts with a delay

    await eventually(has_happened)
    assert (await view.execution(row.id))["status"] == "succeeded"
    assert [each["status"] for each in await view.waits(row.id)] == ["closed"]
    assert [line["type"] for line in await view.events(row.id)] == ["execution.status", "done"], "once"
    assert worker.rejected == 0
