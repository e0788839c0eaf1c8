"""Postgres is killed again and again while work is accepted and done: what was acknowledged is not lost."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.exc import SQLAlchemyError

from cli.stack.ports import find_free
from cli.stack.postgres import Postgres
from tests.executions.support import LedgerView, owner_connection
from tests.fixtures.stack import Stack
from tests.support.platform import Platform, create_database, open_platform, settings_for
from tests.worker.processes import Yard, open_yard

KILLS = 4


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncGenerator[Postgres]:
    """A durable Postgres of this test's own, which it may kill."""
    component = Postgres(tmp_path / "postgres", port=find_free(), password="test", log=tmp_path / "postgres.log")
    await component.start()
    yield component
    await component.stop()


@pytest.fixture
async def own_platform(stack: Stack, postgres: Postgres, worker_number: int) -> AsyncGenerator[Platform]:
    here = Stack(postgres.url, stack.broker_url, stack.chroma_url, stack.directory)
    settings = settings_for(here, *await create_database(here, "drills"), redis_database=worker_number)
    async with open_platform(settings) as opened:
        yield opened


# Connections that were cut while they were being made are left to the garbage collector, here and in SQLAlchemy.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_nothing_acknowledged_is_lost(own_platform: Platform, postgres: Postgres, tmp_path: Path) -> None:
    """R9."""
    view = LedgerView(await owner_connection(own_platform))
    async with open_yard(own_platform, await own_platform.register("Ada"), view, tmp_path) as yard:
        worker = await yard.start(QUARTERDECK_LEASE_SECONDS="30")
        accepted: list[UUID] = [await yard.submit(steps=20, seconds=0.2) for _ in range(4)]
        submitting = asyncio.create_task(_submit_on(yard, accepted))
        await yard.have_begun(4)
        for _ in range(KILLS):
            assert postgres.process is not None
            postgres.process.kill()
            await postgres.process.wait(5)
            await asyncio.sleep(0.3)
            await postgres.start()
            await asyncio.sleep(1)
        submitting.cancel()
        view.connection.terminate()
        yard.view = LedgerView(await owner_connection(own_platform))

        ended = await yard.all_ended(accepted, within=60)

        assert len(accepted) > 4, "work was accepted between the kills"
        assert {row["status"] for row in ended} == {"succeeded"}
        assert {row["attempts"] for row in ended} == {0}, "its worker was alive all the time"
        assert worker.process.returncode is None
        for id_ in accepted:
            steps = await yard.view.steps(id_)
            assert {step["status"] for step in steps} == {"succeeded"}
            await yard.view.events(id_)
        await yard.view.connection.close()
    gc.collect()


async def _submit_on(yard: Yard, accepted: list[UUID]) -> None:
    while True:
        with contextlib.suppress(SQLAlchemyError, OSError):
            accepted.append(await yard.submit(steps=2, seconds=0.1))
        await asyncio.sleep(0.2)
