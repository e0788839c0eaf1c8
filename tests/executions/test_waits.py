"""What executions wait for: asked once, settled once, and told to them whatever happens at the same moment."""

import asyncio
import json
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.orchestration.engine.ports import (
    Action,
    Answer,
    Audience,
    ExecutionStatus,
    LedgerBatch,
    StepStatus,
    Transition,
    WaitStatus,
)
from shared.database.url import asyncpg_url
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.executions.lab import Lab, event, parked, step, wait
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform

ACCEPTED = json.dumps({"action": "accept", "value": None})


class Answering:
    """Connections of the application on which people answer, each as one transaction."""

    def __init__(self, pool: Any, account: Account) -> None:
        self._pool = pool
        self._account = account

    async def settle(self, wait_id: UUID, status: str = "answered", answer: str = ACCEPTED) -> tuple[bool, str] | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetch("SELECT set_config('app.tenant_id', $1, true)", str(self._account.tenant_id))
            row = await connection.fetchrow(
                "SELECT * FROM ledger_settle_wait($1, $2, $3::text::jsonb, $4)",
                wait_id, status, answer, self._account.user_id,
            )  # fmt: skip
            return row and (row["won"], row["status"])


@pytest.fixture
async def answering(platform: Platform, ada: Account) -> Any:
    url = asyncpg_url(platform.settings.app_database_url.get_secret_value()).set(drivername="postgresql")
    pool = await asyncpg.create_pool(url.render_as_string(hide_password=False), min_size=1, max_size=20)
    yield Answering(pool, ada)
    await pool.close()


async def test_a_wait_is_on_record_for_the_next_holder(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, answering: Answering
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker("first")
    audience = Audience(user_id=new_id(), role="admin", escalate_after=90.0, escalate_role="owner")
    _, asked = await worker.waiting(audience=audience, due_at=utcnow() + timedelta(hours=1))

    stored = await view.execution(row.id)
    assert (stored["status"], stored["lease_until"]) == ("waiting", None)
    assert stored["active_ms"] >= 0
    assert await worker.take() == [], "who waits costs no worker"
    assert worker.effects.items == [asked.id]

    assert await answering.settle(asked.id) == (True, "queued")
    claim, ledger = await (await lab.worker("second")).take_one()
    state = await ledger.load()
    (found,) = state.waits
    assert (claim.wakes, state.wakes) == (1, 1)
    assert found.answer is not None
    assert (found.status, found.answer.action, found.answer.by) == (WaitStatus.ANSWERED, Action.ACCEPT, ada.user_id)
    assert found.answer.at is not None
    found.status, found.answer = WaitStatus.OPEN, None
    assert found == asked
    assert [line["data"].get("status") for line in await view.events(row.id)] == ["queued", "waiting", "queued"]


async def test_what_is_on_record_is_not_asked_again_and_can_be_closed(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, answering: Answering
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    answered, withdrawn = wait(asking), wait(asking)
    await ledger.write(LedgerBatch(steps=[asking], waits=[answered, withdrawn]))
    await answering.settle(answered.id)

    for each in (answered, withdrawn):
        each.status = WaitStatus.CLOSED
    await ledger.write(LedgerBatch(waits=[answered, withdrawn]))

    assert [each["status"] for each in await view.waits(row.id)] == ["answered", "closed"]
    assert await answering.settle(withdrawn.id) == (False, "running")
    assert (await worker.claims.sweep()).settled == [(ada.tenant_id, withdrawn.id)]
    assert (await view.execution(row.id))["wakes"] == 1, "only the answer is told"


async def test_of_a_hundred_answers_at_once_one_counts(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, answering: Answering
) -> None:
    """R13."""
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, asked = await worker.waiting()

    answers = await asyncio.gather(
        *(answering.settle(asked.id, answer=json.dumps({"action": "respond", "value": n})) for n in range(100))
    )

    assert sum(answer is not None and answer[0] for answer in answers) == 1
    (stored,) = await view.waits(row.id)
    winner = next(n for n, answer in enumerate(answers) if answer is not None and answer[0])
    assert stored["answer"] == {"action": "respond", "value": winner}
    assert (await view.execution(row.id))["wakes"] == 1
    assert len(await worker.take()) == 1, "one resume"
    assert [line["data"]["status"] for line in await view.events(row.id)] == ["queued", "waiting", "queued"]


async def test_anothers_wait_is_not_there(
    platform: Platform, lab: Lab, ada: Account, bob: Account, view: LedgerView, answering: Answering
) -> None:
    row = await queue(platform, bob)
    _, asked = await (await lab.worker()).waiting()

    assert await answering.settle(asked.id) is None
    assert (await view.waits(row.id))[0]["status"] == "open"


async def test_an_answer_just_before_the_execution_is_parked_queues_it_at_once(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, answering: Answering
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    claim, ledger = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    asked = wait(asking)
    await ledger.write(LedgerBatch(steps=[asking], waits=[asked]))

    assert await answering.settle(asked.id) == (True, "running")
    await ledger.write(parked(claim.wakes))

    assert (await view.execution(row.id))["status"] == "queued"
    assert [line["data"]["status"] for line in await view.events(row.id)] == ["queued", "waiting", "queued"]
    assert [line["seq"] for _, lines in worker.published for line in lines] == [2, 3], "the added line is told too"
    assert worker.effects.rings == 1
    assert len(await worker.take()) == 1


async def test_what_the_holder_has_seen_does_not_wake_it_again(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, answering: Answering
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    claim, ledger = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    first, second = wait(asking), wait(asking)
    await ledger.write(LedgerBatch(steps=[asking], waits=[first, second]))
    await answering.settle(first.id)

    renewals = await worker.claims.renew({claim.id: claim.epoch})
    wakes, seen = await ledger.waits()
    await ledger.write(parked(wakes))

    assert renewals[claim.id].wakes == wakes == 1
    assert [each.status for each in seen] == [WaitStatus.ANSWERED, WaitStatus.OPEN]
    assert (await view.execution(row.id))["status"] == "waiting"


async def test_an_answer_at_the_moment_of_parking_is_never_missed(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, answering: Answering
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - a failure is repeated with it
    chance = random.Random(seed)
    worker = await lab.worker()
    orders: set[str] = set()
    for _ in range(60):
        row = await queue(platform, ada)
        claim, ledger = await worker.take_one()
        asking = step(status=StepStatus.WAITING)
        asked = wait(asking)
        await ledger.write(LedgerBatch(steps=[asking], waits=[asked]))

        async def late(what: Any) -> Any:
            await asyncio.sleep(chance.uniform(0, 0.003))
            return await what

        answer, _ = await asyncio.gather(late(answering.settle(asked.id)), late(ledger.write(parked(claim.wakes))))
        orders.add(answer[1] if len(worker.published[-1][1]) == 1 else "found running")
        assert (await view.execution(row.id))["status"] == "queued"
        (taken,) = await worker.take()
        await worker.ledger(taken).write(LedgerBatch(transition=Transition(ExecutionStatus.SUCCEEDED)))
    assert orders == {"queued", "found running"}, "both came first at times"


async def test_an_end_closes_what_is_open_and_stops_nobody_else(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, answering: Answering
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    asked = wait(asking)
    await ledger.write(LedgerBatch(steps=[asking], waits=[asked]))

    await ledger.write(LedgerBatch(events=[event(type_="done")], transition=Transition(ExecutionStatus.FAILED)))

    assert worker.effects.sweeps == 1
    assert await answering.settle(asked.id) == (False, "failed")
    swept = await worker.claims.sweep()
    assert (swept.settled, swept.events, swept.again) == ([(ada.tenant_id, asked.id)], [], False)
    (stored,) = await view.waits(row.id)
    assert (stored["status"], stored["answer"], stored["told"]) == ("closed", None, True)
    assert (await view.execution(row.id))["wakes"] == 0


async def test_an_answer_knows_who_and_when(platform: Platform, lab: Lab, ada: Account, answering: Answering) -> None:
    await queue(platform, ada)
    worker = await lab.worker()
    _, asked = await worker.waiting()
    await answering.settle(asked.id, "expired", "null")

    _, ledger = await worker.take_one()
    wakes, (found,) = await ledger.waits()

    assert (wakes, found.status) == (1, WaitStatus.EXPIRED)
    assert found.answer == Answer(by=ada.user_id, at=found.answer.at if found.answer else None)
