"""Steps, calls and events have no foreign key to their execution: see docs/decisions/0012."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text

from services.orchestration.engine.ports import LedgerBatch, Superseded
from shared.database.session import Scope
from tests.executions.lab import Lab, call, event, step
from tests.executions.support import LedgerView, owner_connection, queue
from tests.support.platform import Account, Platform

_PARTS = ("task_executions", "calls", "execution_events")


def _batch() -> LedgerBatch:
    made = step()
    return LedgerBatch(steps=[made], calls=[call(made)], events=[event()])


async def _parts(view: LedgerView, execution: UUID) -> list[int]:
    return [
        await view.connection.fetchval(f"SELECT count(*) FROM {table} WHERE execution_id = $1", execution)
        for table in _PARTS
    ]


async def test_what_belongs_to_an_execution_goes_with_it(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    gone, kept = await queue(platform, ada), await queue(platform, ada)
    worker = await lab.worker()
    for claim in await worker.take():
        await worker.ledger(claim).write(_batch())

    async with platform.resources.database.write(Scope(ada.tenant_id)) as session:
        await session.execute(text("DELETE FROM executions WHERE id = :id"), {"id": gone.id})

    assert await _parts(view, gone.id) == [0, 0, 0]
    assert await _parts(view, kept.id) == [1, 1, 2]


async def test_what_belongs_to_a_tenant_goes_with_it(
    platform: Platform, lab: Lab, ada: Account, bob: Account, view: LedgerView
) -> None:
    gone, kept = await queue(platform, ada), await queue(platform, bob)
    worker = await lab.worker()
    for claim in await worker.take():
        await worker.ledger(claim).write(_batch())

    await view.run("DELETE FROM tenants WHERE id = $1", ada.tenant_id)

    assert await _parts(view, gone.id) == [0, 0, 0]
    assert await _parts(view, kept.id) == [1, 1, 2]


@pytest.mark.parametrize("writes_first", [True, False])
async def test_a_write_beside_the_deletion_leaves_nothing_behind(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, writes_first: bool
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    owner = await owner_connection(platform)
    delete = "DELETE FROM executions WHERE id = $1"
    try:
        if writes_first:
            async with owner.transaction():  # stands for a write that has locked the execution and goes on
                await owner.execute("SELECT FROM executions WHERE id = $1 FOR NO KEY UPDATE", row.id)
                deleting = asyncio.ensure_future(view.run(delete, row.id))
                await asyncio.sleep(0.2)
                await owner.execute(
                    "INSERT INTO execution_events (tenant_id, execution_id, seq, type, at, data)"
                    " VALUES ($1, $2, 2, 'log', now(), '{}')",
                    ada.tenant_id,
                    row.id,
                )
            await deleting
        else:
            async with owner.transaction():
                await owner.execute(delete, row.id)
                writing = asyncio.ensure_future(ledger.write(_batch()))
                await asyncio.sleep(0.2)
                assert not writing.done()
            with pytest.raises(Superseded):
                await writing
    finally:
        await owner.close()
    assert await _parts(view, row.id) == [0, 0, 0]
