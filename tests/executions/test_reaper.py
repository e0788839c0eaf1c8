import asyncio
from uuid import UUID

import pytest

from services.orchestration.engine.ports import LedgerBatch, Superseded
from shared.executions.events import wire
from tests.executions.lab import MAX_ATTEMPTS, Lab, LabWorker, event, step
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform


async def _die(view: LedgerView, execution_id: UUID) -> None:
    """The worker that holds it stops renewing its lease."""
    await view.run("UPDATE executions SET lease_until = now() - interval '1 ms' WHERE id = $1", execution_id)


async def test_an_execution_of_a_dead_worker_is_queued_again(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row, alive = await queue(platform, ada), await queue(platform, ada)
    worker = await lab.worker("first")
    ledgers = {claim.id: worker.ledger(claim) for claim in await worker.take()}
    await ledgers[row.id].write(LedgerBatch(steps=[step()]))
    await _die(view, row.id)

    (told,) = await worker.claims.reap()

    stored = await view.execution(row.id)
    assert (stored["status"], stored["attempts"], stored["lease_until"]) == ("queued", 1, None)
    assert (await view.execution(alive.id))["status"] == "running"
    last = (await view.events(row.id))[-1]
    assert (last["type"], last["data"]) == ("execution.status", {"status": "queued", "reason": "worker_lost"})
    assert wire(told)["seq"] == last["seq"]
    assert [each["status"] for each in await view.steps(row.id)] == ["running"], "the next worker resumes it"
    with pytest.raises(Superseded):
        await ledgers[row.id].write(LedgerBatch(events=[event()]))


async def test_many_reapers_take_each_once(platform: Platform, lab: Lab, ada: Account, view: LedgerView) -> None:
    ids = [(await queue(platform, ada)).id for _ in range(20)]
    workers = [await lab.worker(f"w{number}") for number in range(4)]
    await workers[0].take()
    for id_ in ids:
        await _die(view, id_)

    told = await asyncio.gather(*(worker.claims.reap() for worker in workers))

    assert sorted(line.execution_id for lines in told for line in lines) == sorted(ids)
    assert [(await view.execution(id_))["attempts"] for id_ in ids] == [1] * 20


async def _lose(view: LedgerView, worker: LabWorker, times: int) -> None:
    for _ in range(times):
        for claim in await worker.take():
            await _die(view, claim.id)
        await worker.claims.reap()


async def test_what_kills_its_workers_is_set_aside_as_poison(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """R10."""
    row = await queue(platform, ada)
    worker = await lab.worker("the last one")
    await _lose(view, worker, MAX_ATTEMPTS - 1)
    assert (await view.execution(row.id))["status"] == "queued"
    claim, ledger = await worker.take_one()
    assert claim.suspect
    await ledger.write(LedgerBatch(steps=[step("dangerous")]))
    await _die(view, row.id)

    told = await worker.claims.reap()

    stored = await view.execution(row.id)
    assert (stored["status"], stored["attempts"]) == ("failed", MAX_ATTEMPTS)
    assert stored["finished_at"] is not None
    assert stored["error"]["code"] == "poison"
    assert stored["error"]["running_steps"] == ["dangerous"]
    assert "5 workers died" in stored["error"]["message"]
    assert "the last one" in stored["error"]["message"]
    finished, done = (await view.events(row.id))[-2:]
    assert (finished["type"], finished["node"], finished["data"]["status"]) == ("step.finished", "dangerous", "failed")
    assert done["data"] == {"status": "failed", "output": None, "error": stored["error"]}
    assert [line.seq for line in told] == [finished["seq"], done["seq"]]
    assert [each["status"] for each in await view.steps(row.id)] == ["failed"]
    await _lose(view, worker, 1)
    assert (await view.execution(row.id))["epoch"] == stored["epoch"], "it is never taken again"


async def test_deaths_before_a_wait_are_not_held_against_what_comes_after(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """What waits for months meets more deaths than five, and causes none of them."""
    row = await queue(platform, ada)
    worker = await lab.worker()
    await _lose(view, worker, MAX_ATTEMPTS - 1)
    await worker.waiting()
    assert (await view.execution(row.id))["attempts"] == 0

    again = await queue(platform, ada)
    await _lose(view, worker, MAX_ATTEMPTS - 1)
    _, ledger = await worker.take_one()
    await ledger.release()
    assert (await view.execution(again.id))["attempts"] == MAX_ATTEMPTS - 1, "who hands it over has survived nothing"


async def test_neighbours_of_a_poison_execution_are_not_set_aside_with_it(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """One of twenty kills every worker that runs it; the others end when nothing kills their worker."""
    poison = (await queue(platform, ada)).id
    neighbours = [(await queue(platform, ada)).id for _ in range(19)]
    worker = await lab.worker()
    deaths = 0
    for _ in range(60):
        claims = await worker.take()
        if poison in {claim.id for claim in claims}:
            deaths += 1
            for claim in claims:
                await _die(view, claim.id)
            await worker.claims.reap()
            continue
        for claim in claims:
            await view.run("UPDATE executions SET status = 'succeeded' WHERE id = $1", claim.id)

    assert deaths == MAX_ATTEMPTS
    assert (await view.execution(poison))["status"] == "failed"
    ends = [await view.execution(id_) for id_ in neighbours]
    assert {end["status"] for end in ends} == {"succeeded"}
    assert max(end["attempts"] for end in ends) == 2


async def test_suspects_that_run_long_are_not_set_aside_with_one_that_comes_to_them(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """They have been on probation when it is taken, so it is taken beside them; and it kills at once."""
    patient = [(await queue(platform, ada)).id for _ in range(3)]
    poison = (await queue(platform, ada)).id
    await view.run("UPDATE executions SET attempts = 2 WHERE id = ANY ($1)", [*patient, poison])
    worker = await lab.worker()
    while (await view.execution(poison))["status"] != "failed":
        taken: set[UUID] = set()
        while poison not in taken:  # the oldest first
            taken |= {claim.id for claim in await worker.take()}
        for id_ in taken:
            await _die(view, id_)
        await worker.claims.reap()

    assert (await view.execution(poison))["attempts"] == MAX_ATTEMPTS
    assert [(await view.execution(id_))["attempts"] for id_ in patient] == [2, 2, 2]


async def test_a_cancel_that_its_dead_worker_never_saw_is_carried_out(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """R11."""
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    await ledger.write(LedgerBatch(steps=[step()]))
    await view.run("UPDATE executions SET cancel_requested_at = now() WHERE id = $1", row.id)
    await _die(view, row.id)

    await worker.claims.reap()

    assert (await view.execution(row.id))["status"] == "cancelled"
    assert [each["status"] for each in await view.steps(row.id)] == ["cancelled"]
    assert (await view.events(row.id))[-1]["data"] == {"status": "cancelled", "output": None, "error": None}
