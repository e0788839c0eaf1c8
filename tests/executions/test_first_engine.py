"""R18: workers of the first engine and of this one work on the same ledger while one takes the other's place."""

from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import ExecutionStatus, LedgerBatch, StepStatus, Transition
from shared.kit.json import dumps
from shared.workflow.version import ENGINE_VERSION
from tests.executions.lab import ALL, Lab, LabWorker, parked, step, wait
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform


class FirstWorker:
    """Calls the ledger as the first engine's adapter did."""

    def __init__(self, worker: LabWorker) -> None:
        self._connections = worker.connections

    async def take(self) -> list[Any]:
        statement = "SELECT * FROM ledger_claim($1, $2, $3, $4, $5)"
        taken = await self._connections.fetch(statement, "first", list(ALL), list(ALL.values()), True, 30.0)
        ids, epochs = [row["id"] for row in taken], [row["epoch"] for row in taken]
        return list(await self._connections.fetch("SELECT * FROM ledger_open($1, $2)", ids, epochs))

    async def renew(self, execution_id: UUID) -> list[Any]:
        statement = "SELECT * FROM ledger_heartbeat($1, $2, $3)"
        return list(await self._connections.fetch(statement, [execution_id], [1], 30.0))

    async def write(self, account: Account, execution_id: UUID, number: int, status: str | None) -> list[Any]:
        head = {"id": execution_id, "epoch": 1, "number": number, "events": 1, "status": status}
        line = {"execution_id": execution_id, "place": 1, "type": "log", "at": "2026-01-01T00:00:00Z", "data": {}}
        statement = "SELECT * FROM ledger_write($1, $2, $3, $4, $5)"
        sent = (dumps([head]).encode(), None, None, dumps([line]).encode())
        return list(await self._connections.fetch(statement, account.tenant_id, *sent))


async def _of_the_first_engine(platform: Platform, account: Account, view: LedgerView) -> UUID:
    row = await queue(platform, account)
    await view.run("UPDATE executions SET engine_version = 1 WHERE id = $1", row.id)
    return row.id


async def test_a_worker_of_the_first_engine_finishes_what_is_its_own_and_takes_nothing_newer(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    old, new = await _of_the_first_engine(platform, ada, view), (await queue(platform, ada)).id
    first = FirstWorker(await lab.worker())

    assert [row["id"] for row in await first.take()] == [old]
    assert [(row["id"], row["cancel_requested"]) for row in await first.renew(old)] == [(old, False)]
    assert [tuple(row) for row in await first.write(ada, old, 1, None)] == [(old, 2)]
    assert [tuple(row) for row in await first.write(ada, old, 2, "succeeded")] == [(old, 3)]

    stored = await view.execution(old)
    assert (stored["status"], stored["engine_version"]) == ("succeeded", 1)
    assert (await view.execution(new))["status"] == "queued"
    await view.events(old)


async def test_what_this_engine_has_taken_up_the_first_does_not_take_back(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    old = await _of_the_first_engine(platform, ada, view)
    worker = await lab.worker()
    claim, ledger = await worker.take_one()
    assert (claim.id, claim.engine_version) == (old, ENGINE_VERSION)
    asking = step(status=StepStatus.WAITING)
    await ledger.write(LedgerBatch(steps=[asking], waits=[wait(asking)]))
    await ledger.release()

    assert await FirstWorker(worker).take() == []
    again, ledger = await worker.take_one()
    await ledger.write(parked(again.wakes))
    assert (await view.execution(old))["status"] == "waiting"


async def test_the_first_engines_reaper_serves_newer_executions(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    asking = step(status=StepStatus.WAITING)
    await ledger.write(LedgerBatch(steps=[asking], waits=[wait(asking)]))
    await view.run(
        "UPDATE executions SET lease_until = now() - interval '1 s', cancel_requested_at = now() WHERE id = $1", row.id
    )

    await worker.connections.fetch("SELECT * FROM ledger_reap($1)", 5)

    assert (await view.execution(row.id))["status"] == "cancelled"
    assert [each["status"] for each in await view.waits(row.id)] == ["closed"]


async def test_a_handed_over_execution_goes_from_the_first_engine_to_this_one(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    old = await _of_the_first_engine(platform, ada, view)
    worker = await lab.worker()
    first = FirstWorker(worker)
    await first.take()
    await first.write(ada, old, 1, "queued")

    claim, ledger = await worker.take_one()
    await ledger.write(LedgerBatch(transition=Transition(ExecutionStatus.SUCCEEDED)))

    assert (claim.id, claim.epoch) == (old, 2)
    assert (await view.execution(old))["status"] == "succeeded"
