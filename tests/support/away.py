"""A database that is away for the application, and comes back."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.executions.support import owner_connection
from tests.support.platform import Platform


@asynccontextmanager
async def database_away(platform: Platform) -> AsyncGenerator[None]:
    """What the application has of connections is cut, and it gets no others, until the block ends."""
    owner = await owner_connection(platform)
    name = await owner.fetchval("SELECT quote_ident(current_database())")
    try:
        await owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield
    finally:
        await owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
        await owner.close()
