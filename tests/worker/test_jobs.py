"""What a worker hands to jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from sqlalchemy import text

from services.orchestration.engine.jobs import JobSteps
from services.orchestration.worker.jobs import EngineJobContext
from shared.database.session import Scope
from shared.kit.ids import new_id
from shared.kit.json import Json
from tests.support.away import database_away
from tests.support.platform import Account, Platform


class _Unrecorded:
    """Steps that are run and nothing else."""

    def __init__(self, account: Account) -> None:
        self.execution_id, self.tenant_id = new_id(), account.tenant_id
        self.inputs: Any = {}
        self.spec: Any = {}

    async def step(self, name: str, run: Callable[[], Awaitable[Json]]) -> Json:
        return await run()


async def test_a_step_waits_for_a_database_that_is_away(platform: Platform, ada: Account) -> None:
    context = EngineJobContext(cast("JobSteps", _Unrecorded(ada)), platform.resources)

    async def read() -> Json:
        async with context.database.read(Scope(context.tenant_id)) as session:
            return (await session.execute(text("SELECT 1"))).scalar_one()

    async with database_away(platform):
        step = asyncio.create_task(context.step("read", read))
        await asyncio.sleep(0.3)
        assert not step.done()
    assert await asyncio.wait_for(step, 10) == 1
