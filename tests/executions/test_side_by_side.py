"""Everything that touches an execution's row, at once: nobody waits in a circle, and the streams stay whole."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from services.orchestration.adapters.ledger.claims import Claim
from services.orchestration.engine.ports import LedgerBatch, Superseded
from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from shared.executions.cancel import cancel
from shared.executions.errors import ExecutionEnded
from tests.executions.lab import Lab, LabWorker, call, event, step
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform

SECONDS = 2.0


@dataclass
class _Crowd:
    """What each of those who write to the ledger does until time is up; `done` counts it."""

    platform: Platform
    view: LedgerView
    rows: list[ExecutionRow]
    chance: random.Random
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    done: Counter[str] = field(default_factory=Counter[str])

    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    async def write(self, worker: LabWorker, claim: Claim) -> None:
        ledger = worker.ledger(claim)
        with contextlib.suppress(Superseded):
            while self.goes_on():
                writing = step(f"n{self.chance.random()}")
                await ledger.write(LedgerBatch(steps=[writing], calls=[call(writing)], events=[event()] * 3))
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
        crowd.reap(first, second),
    )

    assert await _deadlocks(view) == deadlocks
    assert set(crowd.done) == {"written", "renewed", "cancelled", "reaped"}
    for row in rows:
        await view.events(row.id)
        assert (await view.execution(row.id))["call_count"] == len(await view.calls(row.id))


async def _deadlocks(view: LedgerView) -> int:
    await view.run("SELECT pg_stat_force_next_flush()")
    return await view.connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
