"""Everything that touches an execution's row, at once: nobody waits in a circle, and the streams stay whole."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from services.orchestration.adapters.ledger.claims import Claim
from services.orchestration.engine.ports import LedgerBatch, Superseded
from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from shared.executions.cancel import cancel
from shared.executions.errors import ExecutionEnded, ExecutionStopping, NotPaused
from shared.executions.pause import pause, resume
from shared.kit.clock import utcnow
from tests.executions.lab import Lab, LabWorker, call, child, event, step, wait
from tests.executions.support import LedgerView, no_ring, queue
from tests.support.platform import Account, Platform

SECONDS = 3.0

_ANSWER = text("SELECT won FROM ledger_settle_wait(:id, 'answered', '{\"action\": \"accept\"}', NULL)")


@dataclass
class _Crowd:
    """What each of those who write to the ledger does until time is up; `done` counts it."""

    platform: Platform
    view: LedgerView
    rows: list[ExecutionRow]
    chance: random.Random
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    done: Counter[str] = field(default_factory=Counter[str])
    asked: list[UUID] = field(default_factory=list[UUID])

    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    async def write(self, worker: LabWorker, claim: Claim) -> None:
        ledger = worker.ledger(claim)
        with contextlib.suppress(Superseded):
            while self.goes_on():
                writing = step(f"n{self.chance.random()}")
                asked = wait(writing, due_at=utcnow() + timedelta(seconds=self.chance.uniform(0, 0.5)))
                self.asked.append(asked.id)
                part = [child(writing)] if self.chance.random() < 0.05 else []
                await ledger.write(
                    LedgerBatch(steps=[writing], calls=[call(writing)], waits=[asked, *part], events=[event()] * 3)
                )
                self.done["written"] += 1

    async def renew(self, worker: LabWorker, claims: list[Claim]) -> None:
        while self.goes_on():
            self.chance.shuffle(claims)
            self.done["renewed"] += len(await worker.claims.renew({claim.id: claim.epoch for claim in claims}))

    async def cancel(self) -> None:
        while self.goes_on():
            row = self.chance.choice(self.rows)
            with contextlib.suppress(ExecutionEnded):
                async with self.platform.resources.database.write(Scope(row.tenant_id)) as session:
                    await cancel(session, row.id, self.platform.resources.redis)
                self.done["cancelled"] += 1
            await asyncio.sleep(0.02)

    async def hold(self) -> None:
        while self.goes_on():
            row = self.chance.choice(self.rows)
            with contextlib.suppress(ExecutionEnded, ExecutionStopping, NotPaused):
                async with self.platform.resources.database.write(Scope(row.tenant_id)) as session:
                    if self.chance.random() < 0.5:
                        await pause(session, row.id, self.platform.resources.redis)
                    else:
                        await resume(session, row.id, self.platform.resources.redis, no_ring)
                self.done["held"] += 1
            await asyncio.sleep(0.02)

    async def answer(self) -> None:
        while self.goes_on():
            if self.asked:
                async with self.platform.resources.database.write(Scope(self.rows[0].tenant_id)) as session:
                    wait_id = self.chance.choice(self.asked[-50:])
                    settled = await session.execute(_ANSWER, {"id": wait_id})
                    self.done["answered"] += sum(row.won for row in settled)
            await asyncio.sleep(0.005)

    async def sweep(self, worker: LabWorker) -> None:
        while self.goes_on():
            self.done["swept"] += len((await worker.claims.sweep()).settled)
            await asyncio.sleep(0.01)

    async def reap(self, worker: LabWorker, other: LabWorker) -> None:
        while self.goes_on():
            lost = self.chance.choice(self.rows).id
            await self.view.run("UPDATE executions SET lease_until = now() - interval '1 s' WHERE id = $1", lost)
            self.done["reaped"] += len(await worker.claims.reap())
            await other.take()
            await asyncio.sleep(0.05)


async def test_there_is_no_deadlock_and_no_gap(
    platform: Platform, lab: Lab, ada: Account, bob: Account, view: LedgerView
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - a failure is repeated with it
    rows = [await queue(platform, account) for account in (ada, bob) for _ in range(20)]
    first, second = await lab.worker("first"), await lab.worker("second")
    held = {worker.claims: await worker.take({"default": 20}) for worker in (first, second)}
    deadlocks = await _deadlocks(view)
    crowd = _Crowd(platform, view, rows, random.Random(seed))

    await asyncio.gather(
        *(crowd.write(worker, claim) for worker in (first, second) for claim in held[worker.claims]),
        *(crowd.renew(worker, list(held[worker.claims])) for worker in (first, second) for _ in range(2)),
        crowd.cancel(),
        crowd.hold(),
        *(crowd.answer() for _ in range(3)),
        crowd.sweep(first),
        crowd.sweep(second),
        crowd.reap(first, second),
    )

    assert await _deadlocks(view) == deadlocks
    assert set(crowd.done) == {"written", "renewed", "cancelled", "held", "answered", "swept", "reaped"}
    assert await view.connection.fetchval("SELECT count(*) FROM executions WHERE parent_id IS NOT NULL") > 0
    for row in rows:
        await view.events(row.id)
        assert (await view.execution(row.id))["call_count"] == len(await view.calls(row.id))


async def _deadlocks(view: LedgerView) -> int:
    await view.run("SELECT pg_stat_force_next_flush()")
    return await view.connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
