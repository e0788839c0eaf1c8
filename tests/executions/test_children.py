"""Executions that a step of another starts and waits for."""

import asyncio
from uuid import UUID

from services.orchestration.adapters.ledger.encoding import encode
from services.orchestration.engine.ports import (
    ExecutionStatus,
    LedgerBatch,
    StepStatus,
    Transition,
    WaitStatus,
)
from shared.workflow.states import Lane
from tests.executions.lab import Lab, LabWorker, child, event, parked, step
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform


async def _parent(worker: LabWorker, count: int = 1) -> tuple[UUID, list[UUID]]:
    """Takes what is queued, has it start children, and parks it."""
    claim, ledger = await worker.take_one()
    asking = step("part", status=StepStatus.WAITING)
    children = [child(asking) for _ in range(count)]
    await ledger.write(LedgerBatch(steps=[asking], waits=children))
    await ledger.write(parked(claim.wakes))
    return claim.id, [each.id for each in children]


async def _end(worker: LabWorker, status: ExecutionStatus = ExecutionStatus.SUCCEEDED) -> None:
    """Takes one that is queued, and ends it."""
    _, ledger = await worker.take_one()
    await ledger.write(LedgerBatch(events=[event(type_="done")], transition=Transition(status, {"n": 2})))


async def test_a_child_is_like_its_parent_and_starts_once(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada, priority=3, correlation_id="abc", lane=Lane.DEFAULT, budget={"calls": 3})
    worker = await lab.worker()
    claim, _ = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    wanted = child(asking, workflow_version=4)
    write = encode(claim.id, claim.epoch, 1, LedgerBatch(steps=[asking], waits=[wanted]))

    await worker.writer.write(ada.tenant_id, write)
    await worker.writer.write(ada.tenant_id, write)  # as when its answer was lost

    stored, parent = await view.execution(wanted.id), await view.execution(row.id)
    same = ("tenant_id", "lane", "priority", "correlation_id", "created_by", "engine_version")
    assert {name: stored[name] for name in same} == {name: parent[name] for name in same}
    assert (stored["parent_id"], stored["root_id"], stored["depth"]) == (row.id, row.id, 1)
    assert (stored["status"], stored["kind"], stored["name"]) == ("queued", "workflow", "Part")
    assert (stored["inputs"], stored["budget"], stored["workflow_version"]) == ({"n": 1}, {"calls": 3}, 4)
    assert [line["data"] for line in await view.events(wanted.id)] == [{"status": "queued"}]
    assert len(await view.waits(row.id)) == 1
    assert worker.effects.rings == 1

    (grand,) = (await _parent(worker))[1]
    stored = await view.execution(grand)
    assert (stored["parent_id"], stored["root_id"], stored["depth"]) == (wanted.id, row.id, 2)


async def test_the_end_of_a_child_is_the_answer_to_its_parent(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    parent, _ = await _parent(worker)
    await _end(worker)
    assert worker.effects.sweeps == 1
    assert (await view.execution(row.id))["status"] == "waiting", "it is told after the child's end has committed"

    swept = await worker.claims.sweep()

    assert [line.execution_id for line in swept.events] == [parent]
    claim, ledger = await worker.take_one()
    wakes, (found,) = await ledger.waits()
    assert claim.id == parent
    assert (wakes, found.status) == (1, WaitStatus.ANSWERED)
    assert found.answer is not None
    assert found.answer.value == {"status": "succeeded", "output": {"n": 2}, "error": None}
    await view.events(parent)


async def test_children_that_end_together_are_told_together(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    await queue(platform, ada)
    worker = await lab.worker()
    parent, children = await _parent(worker, 20)
    assert len(await worker.take({"default": 0, "ingestion": 5})) == 0

    await asyncio.gather(*(
        worker.ledger(claim).write(LedgerBatch(transition=Transition(ExecutionStatus.SUCCEEDED)))
        for claim in await worker.take()
    ))  # fmt: skip
    swept = await worker.claims.sweep()

    assert len(children) == 20
    assert [line.execution_id for line in swept.events] == [parent]
    assert {each["status"] for each in await view.waits(parent)} == {"answered"}


async def test_a_child_that_was_set_aside_is_an_answer_too(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    await queue(platform, ada)
    worker = await lab.worker()
    parent, (part,) = await _parent(worker)
    await worker.take_one()
    await view.run("UPDATE executions SET attempts = 4, lease_until = now() - interval '1 s' WHERE id = $1", part)

    await worker.claims.reap()
    await worker.claims.sweep()

    (stored,) = await view.waits(parent)
    assert stored["answer"]["value"]["error"]["code"] == "poison"
    assert (await view.execution(parent))["status"] == "queued"


async def test_children_do_not_outlive_their_parent(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """It fails while one of its children waits in the queue and one runs, which has a child of its own."""
    await queue(platform, ada)
    worker = await lab.worker()
    claim, ledger = await worker.take_one()
    asking = step("part", status=StepStatus.WAITING)
    running, queued = child(asking), child(asking)
    await ledger.write(LedgerBatch(steps=[asking], waits=[running, queued]))
    held, running_ledger = await worker.take_one()
    assert held.id == running.id
    part = step("part", status=StepStatus.WAITING)
    grand = child(part)
    await running_ledger.write(LedgerBatch(steps=[part], waits=[grand]))

    await ledger.write(LedgerBatch(transition=Transition(ExecutionStatus.FAILED)))
    swept = await worker.claims.sweep()

    assert swept.look == [running.id]
    assert (await view.execution(queued.id))["status"] == "cancelled"
    renewals = await worker.claims.renew({held.id: held.epoch})
    assert renewals[held.id].cancel_requested
    await running_ledger.write(LedgerBatch(transition=Transition(ExecutionStatus.CANCELLED)))
    await worker.claims.sweep()
    assert (await view.execution(grand.id))["status"] == "cancelled"
    assert (await worker.claims.sweep()).again is False
    for id_ in (claim.id, running.id, queued.id, grand.id):
        await view.events(id_)


async def test_a_step_that_withdraws_its_wait_stops_the_child(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    asking = step("part", status=StepStatus.WAITING)
    part = child(asking)
    await ledger.write(LedgerBatch(steps=[asking], waits=[part]))
    part.status = WaitStatus.CLOSED
    await ledger.write(LedgerBatch(waits=[part]))

    await worker.claims.sweep()

    assert (await view.execution(part.id))["status"] == "cancelled"
