"""Work that takes its time waits for a database that is away."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.database.away import is_away, outlast
from shared.database.session import Database, Scope
from tests.support.away import database_away
from tests.support.platform import Platform


async def _one(database: Database, statement: str = "SELECT 1") -> int:
    async with database.read(Scope()) as session:
        return (await session.execute(text(statement))).scalar_one()


async def test_it_is_waited_for(platform: Platform) -> None:
    database = platform.resources.database
    async with database_away(platform):
        with pytest.raises(DBAPIError) as away:
            await _one(database)
        assert is_away(away.value)
        waiting = asyncio.create_task(outlast(lambda: _one(database)))
        await asyncio.sleep(0.5)
        assert not waiting.done()
    assert await asyncio.wait_for(waiting, 10) == 1


async def test_not_for_ever(platform: Platform) -> None:
    async with database_away(platform):
        with pytest.raises(DBAPIError):
            await outlast(lambda: _one(platform.resources.database), within=0.2)


async def test_a_server_that_is_not_there_is_away() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(OSError, match="Connect") as refused:
        await _one(nowhere)
    assert is_away(refused.value)
    await nowhere.close()


@pytest.mark.parametrize("statement", ["SELECT 1/0", "SELECT nothing", "SELECT CAST('x' AS integer)"])
async def test_what_would_fail_again_is_not_tried_again(platform: Platform, statement: str) -> None:
    with pytest.raises(DBAPIError) as refused:
        await outlast(lambda: _one(platform.resources.database, statement))
    assert not is_away(refused.value)
    assert not is_away(FileNotFoundError())
