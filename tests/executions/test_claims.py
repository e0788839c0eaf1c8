import asyncio
from collections import Counter
from uuid import UUID

import pytest

from shared.database.session import Scope
from shared.executions.cancel import cancel
from shared.workflow.states import Lane
from tests.executions.lab import ALL, Lab
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform


async def _queue(platform: Platform, account: Account, count: int, **fields: object) -> list[UUID]:
    return [(await queue(platform, account, **fields)).id for _ in range(count)]


async def test_a_claim_brings_all_that_a_worker_needs(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada, spec={"graph": {"nodes": [1]}}, inputs={"topic": "rivers"})
    worker = await lab.worker("worker-7")

    (claim,) = await worker.take()

    assert (claim.id, claim.tenant_id, claim.epoch, claim.kind) == (row.id, ada.tenant_id, 1, "workflow")
    assert (claim.spec, claim.inputs, claim.attempts) == ({"graph": {"nodes": [1]}}, {"topic": "rivers"}, 0)
    assert not claim.suspect
    assert not claim.cancel_requested
    stored = await view.execution(row.id)
    assert (stored["status"], stored["worker"], stored["epoch"]) == ("running", "worker-7", 1)
    assert 25 < (stored["lease_until"] - stored["started_at"]).total_seconds() <= 30
    assert await worker.take() == []


async def test_two_workers_never_take_the_same(platform: Platform, lab: Lab, ada: Account) -> None:
    ids = await _queue(platform, ada, 40)
    workers = [await lab.worker(f"w{number}") for number in range(4)]

    taken = await asyncio.gather(*(worker.take({"default": 15}) for worker in workers))

    claimed = Counter(claim.id for claims in taken for claim in claims)
    assert set(claimed) == set(ids)
    assert set(claimed.values()) == {1}
    assert max(len(claims) for claims in taken) <= 15


async def test_the_most_urgent_and_oldest_goes_first(platform: Platform, lab: Lab, ada: Account) -> None:
    old = await _queue(platform, ada, 2)
    urgent = await _queue(platform, ada, 2, priority=5)
    worker = await lab.worker()
    order = [(await worker.take({"default": 1}))[0].id for _ in range(4)]
    assert order == [*urgent, *old]


async def test_a_burst_of_one_tenant_makes_another_wait_for_one_at_most(
    platform: Platform, lab: Lab, ada: Account, bob: Account
) -> None:
    """R17."""
    await _queue(platform, ada, 30)
    worker = await lab.worker()
    assert len(await worker.take({"default": 10})) == 10
    bobs = await _queue(platform, bob, 3)

    assert [(await worker.take({"default": 1}))[0].id for _ in range(3)] == bobs

    shared = await _queue(platform, bob, 10)
    assert shared
    tenants = Counter(claim.tenant_id for claim in await worker.take({"default": 10}))
    assert tenants == {bob.tenant_id: 8, ada.tenant_id: 2}, "both have ten or eleven running now"


async def test_a_tenants_limit_holds_however_many_claim_at_once(
    platform: Platform, lab: Lab, ada: Account, bob: Account, view: LedgerView
) -> None:
    await view.run("UPDATE tenants SET max_running = 5 WHERE id = $1", ada.tenant_id)
    await _queue(platform, ada, 20)
    await _queue(platform, ada, 5, lane=Lane.INGESTION)
    await _queue(platform, bob, 3)
    workers = [await lab.worker(f"w{number}") for number in range(6)]

    taken = [claim for claims in await asyncio.gather(*(worker.take() for worker in workers)) for claim in claims]

    assert Counter(claim.tenant_id for claim in taken) == {ada.tenant_id: 5, bob.tenant_id: 3}


async def test_lanes_have_room_of_their_own(platform: Platform, lab: Lab, ada: Account) -> None:
    await _queue(platform, ada, 10, lane=Lane.INGESTION)
    await _queue(platform, ada, 10)
    worker = await lab.worker()

    assert [claim.lane for claim in await worker.take({"ingestion": 2})] == ["ingestion"] * 2
    lanes = Counter(claim.lane for claim in await worker.take({"default": 3, "ingestion": 1}))
    assert lanes == {"default": 3, "ingestion": 1}
    assert await worker.take({"default": 0, "ingestion": 0}) == []


async def test_a_claim_steps_over_what_another_transaction_holds(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    held, free = await _queue(platform, ada, 2)
    worker = await lab.worker()
    async with view.connection.transaction():
        await view.connection.execute("SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", held)
        assert [claim.id for claim in await asyncio.wait_for(worker.take(ALL), 5)] == [free]
    assert [claim.id for claim in await worker.take(ALL)] == [held]


async def test_what_is_cancelled_is_not_claimed_and_what_is_claimed_knows_it(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    queued, flagged = await _queue(platform, ada, 2)
    async with platform.resources.database.write(Scope(ada.tenant_id)) as session:
        await cancel(session, queued, platform.resources.redis)
    await view.run("UPDATE executions SET cancel_requested_at = now() WHERE id = $1", flagged)
    worker = await lab.worker()

    (claim,) = await worker.take()

    assert claim.id == flagged
    assert claim.cancel_requested


async def test_suspects_are_taken_one_at_a_time(platform: Platform, lab: Lab, ada: Account, view: LedgerView) -> None:
    """R10: what runs beside a poison execution is not set aside with it."""
    suspects = await _queue(platform, ada, 3)
    await view.run("UPDATE executions SET attempts = 2 WHERE id = ANY ($1)", suspects)
    once_lost = await _queue(platform, ada, 1)
    await view.run("UPDATE executions SET attempts = 1 WHERE id = ANY ($1)", once_lost)
    fresh = await _queue(platform, ada, 2)
    worker = await lab.worker()

    first = await worker.take(suspects=True)
    assert [claim.id for claim in first if claim.suspect] == suspects[:1]
    assert {claim.id for claim in first if not claim.suspect} == {*once_lost, *fresh}
    assert await worker.take(suspects=False) == []
    assert [claim.id for claim in await worker.take(suspects=True)] == suspects[1:2]


async def test_a_heartbeat_renews_tells_of_cancel_and_of_loss(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    ids = await _queue(platform, ada, 3)
    worker = await lab.worker(lease=30)
    claims = await worker.take()
    await view.run("UPDATE executions SET lease_until = now() + interval '1 s' WHERE id = ANY ($1)", ids)
    await view.run("UPDATE executions SET cancel_requested_at = now() WHERE id = $1", ids[1])
    await view.run("UPDATE executions SET epoch = epoch + 1 WHERE id = $1", ids[2])

    answer = await worker.claims.renew({claim.id: claim.epoch for claim in claims})

    assert {id_: renewal.cancel_requested for id_, renewal in answer.items()} == {ids[0]: False, ids[1]: True}
    left = await view.connection.fetch(
        "SELECT id FROM executions WHERE id = ANY ($1) AND lease_until > now() + interval '20 s'", ids
    )
    assert {row["id"] for row in left} == set(ids[:2])


@pytest.mark.parametrize("lost", ["ledger_claim", "ledger_load"])
async def test_what_was_claimed_unheard_is_put_back_at_once_and_held_against_nobody(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """The database went away after it had claimed, or before it could say what."""
    mine, paused = await _queue(platform, ada, 2)
    worker = await lab.worker("forgetful", lease=1)
    (held,) = [claim for claim in await worker.take({"default": 1}) if claim.id == mine]
    await view.run("UPDATE executions SET pause_requested_at = now() WHERE id = $1", paused)
    unheard = await _queue(platform, ada, 3)
    fetch = worker.connections.fetch

    async def lose(query: str, *arguments: object) -> object:
        answer = await fetch(query, *arguments)
        if lost in query:
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(worker.connections, "fetch", lose)
    with pytest.raises(ConnectionResetError):
        await worker.take()
    monkeypatch.undo()
    assert {(await view.execution(id_))["status"] for id_ in unheard} == {"running"}

    assert sorted(claim.id for claim in await worker.take(held=[held.id])) == sorted(unheard)

    assert {(await view.execution(id_))["attempts"] for id_ in unheard} == {0}
    assert (await view.execution(paused))["status"] == "paused"
    kept = await view.execution(mine)
    assert (kept["status"], kept["epoch"]) == ("running", held.epoch)
    assert await worker.take(held=[held.id, *unheard]) == [], "it looks once"


async def test_what_somebody_keeps_locked_costs_no_other_its_lease(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """Who was frozen in the middle of a transaction may keep a row locked for minutes."""
    await _queue(platform, ada, 3)
    worker = await lab.worker()
    stuck, *others = await worker.take()
    await view.run("UPDATE executions SET lease_until = now() + interval '1 s' WHERE status = 'running'")
    held = {claim.id: claim.epoch for claim in (stuck, *others)}
    async with view.connection.transaction():
        await view.connection.execute("SELECT FROM executions WHERE id = $1 FOR UPDATE", stuck.id)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.claims.renew(held), 0.5)
        answer = await asyncio.wait_for(worker.claims.renew(held, patient=False), 5)
        assert {id_: renewal.renewed for id_, renewal in answer.items()} == {
            stuck.id: False,
            **{claim.id: True for claim in others},
        }
    for claim in others:
        stored = await view.execution(claim.id)
        assert (stored["lease_until"] - stored["claimed_at"]).total_seconds() > 25
    await view.run("UPDATE executions SET epoch = epoch + 1 WHERE id = $1", stuck.id)
    assert stuck.id not in await worker.claims.renew(held, patient=False)
