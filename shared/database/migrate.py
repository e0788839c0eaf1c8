"""`python -m shared.database.migrate`: brings the schema to the newest version.

Reads DATABASE_URL (a role that may create roles and tables) and APP_DATABASE_URL (the application's role,
whose password is set from there). Safe to run from several machines at once: an advisory lock lets one go first.
"""

import asyncio
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.database.migrations.security import APP_ROLE
from shared.database.url import asyncpg_url
from shared.kit.settings import get_settings

LOCK_KEY = 0x51_44_4D_49_47  # any constant that nobody else uses in this database


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


async def migrate(owner_url: str, app_url: str | None = None) -> None:
    """Upgrades the database at `owner_url` to head and lets the role named in `app_url` log in.

    Waits at most five seconds for a table lock, so that a migration never queues up behind a long transaction
    while everybody else queues up behind it.
    """
    engine = create_async_engine(asyncpg_url(owner_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
            await connection.execute(text("SET lock_timeout = '5s'"))
            await connection.commit()
            await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
            await connection.run_sync(_let_application_log_in, app_url)
            await connection.commit()
    finally:
        await engine.dispose()


def _let_application_log_in(connection: Connection, app_url: str | None) -> None:
    app = asyncpg_url(app_url) if app_url else None
    if app is None or app.username != APP_ROLE or app.password is None:
        return
    # ALTER ROLE takes no parameters: format() quotes the password as a literal on the server.
    connection.execute(text("SELECT set_config('app.new_password', :password, true)"), {"password": app.password})
    connection.execute(
        text(
            "DO $$ BEGIN EXECUTE format("
            f"'ALTER ROLE {APP_ROLE} LOGIN PASSWORD %L', current_setting('app.new_password')); END $$"
        )
    )


def main() -> int:
    settings = get_settings()
    owner = settings.database_url.get_secret_value()
    if not owner:
        sys.stderr.write("DATABASE_URL is not set: it names the database to migrate.\n")
        return 2
    asyncio.run(migrate(owner, settings.app_database_url.get_secret_value() or None))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
