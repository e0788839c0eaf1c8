"""Workflows that limit how many of their executions run at once."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import ExecutionStatus, LedgerBatch, Transition
from shared.kit.ids import new_id
from tests.executions.lab import Lab, parked
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform


async def _limited(view: LedgerView, account: Account, limit: int) -> UUID:
    workflow = new_id()
    await view.run(
        "INSERT INTO workflows (id, tenant_id, name, latest_version, max_running) VALUES ($1, $2, $3, 1, $4)",
        workflow, account.tenant_id, workflow.hex, limit,
    )  # fmt: skip
    return workflow


async def _queue(platform: Platform, account: Account, count: int, key: UUID | None, **fields: Any) -> list[UUID]:
    return [(await queue(platform, account, concurrency_key=key, **fields)).id for _ in range(count)]


async def test_a_limit_holds_however_many_claim_at_once_and_holds_up_no_other(
    platform: Platform, lab: Lab, ada: Account, bob: Account, view: LedgerView
) -> None:
    narrow, wide = await _limited(view, ada, 2), await _limited(view, ada, 5)
    await _queue(platform, ada, 20, narrow, priority=5)
    await _queue(platform, ada, 20, wide)
    free = await _queue(platform, ada, 4, None)
    others = await _queue(platform, bob, 2, None)
    workers = [await lab.worker(f"w{number}") for number in range(6)]

    taken = [claim for claims in await asyncio.gather(*(worker.take() for worker in workers)) for claim in claims]

    assert len({claim.id for claim in taken}) == len(taken) == 2 + 5 + 4 + 2
    keys = Counter([(await view.execution(claim.id))["concurrency_key"] for claim in taken])
    assert (keys[narrow], keys[wide]) == (2, 5)
    assert {claim.id for claim in taken} >= {*free, *others}
    assert await workers[0].take() == []


async def test_room_is_made_by_an_end_and_by_a_wait(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    key = await _limited(view, ada, 1)
    first, second, third = await _queue(platform, ada, 3, key)
    worker = await lab.worker()
    claim, ledger = await worker.take_one()
    assert claim.id == first
    assert await worker.take() == []
    await ledger.write(LedgerBatch(transition=Transition(ExecutionStatus.SUCCEEDED)))

    claim, ledger = await worker.take_one()
    assert claim.id == second
    await ledger.write(parked(0))

    assert [claim.id for claim in await worker.take()] == [third]


async def test_urgency_counts_across_what_is_limited_and_what_is_not(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    key = await _limited(view, ada, 3)
    (late,) = await _queue(platform, ada, 1, key)
    (urgent,) = await _queue(platform, ada, 1, key, priority=5)
    (plain,) = await _queue(platform, ada, 1, None, priority=1)
    worker = await lab.worker()

    assert [(await worker.take_one())[0].id for _ in range(3)] == [urgent, plain, late]


async def test_without_a_limit_any_more_all_may_run(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    lifted, deleted = await _limited(view, ada, 1), await _limited(view, ada, 1)
    ids = await _queue(platform, ada, 3, lifted) + await _queue(platform, ada, 3, deleted)
    await view.run("UPDATE workflows SET max_running = NULL WHERE id = $1", lifted)
    await view.run("DELETE FROM workflows WHERE id = $1", deleted)

    assert {claim.id for claim in await (await lab.worker()).take()} == set(ids)


async def test_the_tenants_limit_holds_besides(platform: Platform, lab: Lab, ada: Account, view: LedgerView) -> None:
    await view.run("UPDATE tenants SET max_running = 4 WHERE id = $1", ada.tenant_id)
    key = await _limited(view, ada, 3)
    await _queue(platform, ada, 10, key, priority=1)
    await _queue(platform, ada, 10, None)

    taken = await (await lab.worker()).take()

    keys = Counter([(await view.execution(claim.id))["concurrency_key"] for claim in taken])
    assert keys == {key: 3, None: 1}
