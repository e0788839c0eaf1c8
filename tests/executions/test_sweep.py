"""What is due for waits is done by whoever looks first, once, and nothing is waited for."""

import asyncio
from datetime import timedelta

from services.orchestration.engine.ports import Audience, LedgerBatch, StepStatus, WaitKind
from shared.executions.events import wire
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.executions.lab import Lab, child, parked, step, wait
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform

PAST = timedelta(seconds=-1)


async def test_a_timer_that_is_due_queues_its_execution(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    asking = step(status=StepStatus.WAITING)
    await worker.waiting(wait(asking, WaitKind.TIMER, due_at=utcnow() + PAST))

    swept = await worker.claims.sweep()

    (told,) = swept.events
    assert (swept.look, swept.settled, swept.again) == ([], [], False)
    stored = (await view.events(row.id))[-1]
    assert (stored["type"], stored["data"]) == ("execution.status", {"status": "queued", "reason": "answered"})
    assert wire(told) == {"seq": stored["seq"], "type": stored["type"], "at": stored["at"], "step": None,
                          "data": stored["data"]}  # fmt: skip
    (timer,) = await view.waits(row.id)
    assert (timer["status"], timer["answer"], timer["told"]) == ("expired", None, True)
    assert len(await worker.take()) == 1
    assert (await worker.claims.sweep()).events == []


async def test_what_is_not_due_stays(platform: Platform, lab: Lab, ada: Account, view: LedgerView) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    asking = step(status=StepStatus.WAITING)
    await worker.waiting(wait(asking, WaitKind.TIMER, due_at=utcnow() + timedelta(hours=1)), wait(asking))

    swept = await worker.claims.sweep()

    assert (swept.events, swept.look, swept.again) == ([], [], False)
    assert {each["status"] for each in await view.waits(row.id)} == {"open"}


async def test_one_that_runs_is_told_to_look(platform: Platform, lab: Lab, ada: Account, view: LedgerView) -> None:
    await queue(platform, ada)
    worker = await lab.worker()
    claim, ledger = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    await ledger.write(LedgerBatch(steps=[asking], waits=[wait(asking, due_at=utcnow() + PAST)]))

    swept = await worker.claims.sweep()

    assert swept.look == [claim.id]
    assert len(swept.settled) == 1, "an approval that expired is gone from the inbox"
    renewals = await worker.claims.renew({claim.id: claim.epoch})
    assert renewals[claim.id].wakes == 1
    await ledger.write(parked(claim.wakes))
    assert (await view.execution(claim.id))["status"] == "queued", "it had not looked"


async def test_what_nobody_answers_goes_to_whom_it_escalates_to_once(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    boss = new_id()
    audience = Audience(role="member", escalate_after=0.0, escalate_user_id=boss)
    _, asked = await worker.waiting(audience=audience)

    swept = await worker.claims.sweep()

    assert swept.escalated == [(ada.tenant_id, asked.id)]
    (stored,) = await view.waits(row.id)
    assert (stored["status"], stored["assignee_user_id"], stored["assignee_role"]) == ("open", boss, None)
    assert stored["escalated_at"] is not None
    assert (await worker.claims.sweep()).escalated == []


async def test_many_who_sweep_do_each_thing_once(
    platform: Platform, lab: Lab, ada: Account, bob: Account, view: LedgerView
) -> None:
    rows = [await queue(platform, account) for account in (ada, bob) for _ in range(15)]
    workers = [await lab.worker(f"w{number}") for number in range(4)]
    for claim in await workers[0].take():
        ledger = workers[0].ledger(claim)
        own = step(status=StepStatus.WAITING)
        timers = [wait(own, WaitKind.TIMER, due_at=utcnow() + PAST) for _ in range(2)]
        await ledger.write(LedgerBatch(steps=[own], waits=timers))
        await ledger.write(parked(0))

    swept = await asyncio.gather(*(worker.claims.sweep() for worker in workers))

    assert sorted(line.execution_id for each in swept for line in each.events) == sorted(row.id for row in rows)
    for row in rows:
        assert [line["data"]["status"] for line in await view.events(row.id)] == ["queued", "waiting", "queued"]


async def test_of_one_with_many_children_some_are_told_at_a_time(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    asking = step(status=StepStatus.WAITING)
    children = [child(asking) for _ in range(7)]
    await worker.waiting(*children)
    await view.run("DO $$ BEGIN PERFORM ledger_settle(id, 'failed', NULL) FROM executions WHERE parent_id IS NULL "
                   f"AND id = '{row.id}'; END $$")  # fmt: skip

    stopped: list[int] = []
    again = True
    while again:
        told = await view.connection.fetch("SELECT what FROM ledger_sweep(3)")
        again = "again" in {each["what"] for each in told}
        stopped.append(sum(each["what"] == "event" for each in told))

    assert stopped == [3, 3, 1]
    assert {(await view.execution(each.id))["status"] for each in children} == {"cancelled"}


async def test_a_sweep_steps_over_what_another_transaction_holds_and_comes_back(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    held, free = [(await queue(platform, ada)).id for _ in range(2)]
    worker = await lab.worker()
    for _ in range(2):
        asking = step(status=StepStatus.WAITING)
        await worker.waiting(wait(asking, WaitKind.TIMER, due_at=utcnow() + PAST))
    async with view.connection.transaction():
        await view.connection.execute("SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", held)
        swept = await asyncio.wait_for(worker.claims.sweep(), 5)
        assert [line.execution_id for line in swept.events] == [free]
        assert swept.again
    assert [line.execution_id for line in (await worker.claims.sweep()).events] == [held]
