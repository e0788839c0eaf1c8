from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.database.migrate import alembic_config, migrate
from shared.database.url import asyncpg_url
from shared.kit.ids import new_id
from tests.fixtures.stack import Stack
from tests.support.platform import create_database


async def test_the_schema_matches_the_tables_and_every_migration_can_be_undone(stack: Stack) -> None:
    owner_url, app_url = await create_database(stack, f"migrations_{new_id().hex}")
    engine = create_async_engine(asyncpg_url(owner_url), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.check(alembic_config(sync)))
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))
        await connection.commit()
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
        await connection.commit()
    await engine.dispose()

    await migrate(owner_url, app_url)  # a second run finds nothing to do
