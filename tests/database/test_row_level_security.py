"""The database itself keeps tenants apart, whatever the application asks."""

import asyncio
import random
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import shared.database.tables  # noqa: F401 - fills Base.metadata
from shared.database.base import Base
from shared.database.session import Database, Scope
from shared.database.url import asyncpg_url
from shared.kit.settings import Settings
from tests.support.platform import Account, Platform

TENANT_TABLES = sorted(name for name, table in Base.metadata.tables.items() if "tenant_id" in table.columns)


async def _owner_rows(settings: Settings, statement: str) -> list[tuple[object, ...]]:
    engine = create_async_engine(asyncpg_url(settings.database_url.get_secret_value()), poolclass=NullPool)
    async with engine.connect() as connection:
        rows = [tuple(row) for row in await connection.execute(text(statement))]
    await engine.dispose()
    return rows


async def test_every_tenant_table_has_forced_row_level_security(settings: Settings) -> None:
    rows = await _owner_rows(
        settings,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relrowsecurity AND relforcerowsecurity ORDER BY 1",
    )
    assert {row[0] for row in rows} >= {*TENANT_TABLES, "tenants", "users"}
    assert len(TENANT_TABLES) > 10


async def test_no_role_of_ours_bypasses_it_or_owns_a_table(settings: Settings) -> None:
    roles = await _owner_rows(
        settings,
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname LIKE 'quarterdeck\\_%'",
    )
    assert sorted(roles) == [("quarterdeck_app", False, False, False), ("quarterdeck_system", False, False, False)]
    owned = await _owner_rows(
        settings,
        "SELECT relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname LIKE 'quarterdeck\\_%'",
    )
    assert owned == []


async def test_security_definer_functions_belong_to_the_system_role_and_pin_their_search_path(
    settings: Settings,
) -> None:
    rows = await _owner_rows(
        settings,
        "SELECT p.proname, r.rolname, p.proconfig::text FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner"
        " WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace",
    )
    assert len(rows) >= 6
    for name, owner, config in rows:
        assert owner == "quarterdeck_system", name
        assert "search_path=public, pg_temp" in str(config), name


@pytest.mark.parametrize("table", [*TENANT_TABLES, "tenants", "users"])
async def test_the_application_sees_no_row_without_a_tenant(platform: Platform, ada: Account, table: str) -> None:
    async with platform.resources.database.read(Scope()) as session:
        assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


async def test_the_application_neither_reads_nor_writes_another_tenant(
    platform: Platform, ada: Account, bob: Account
) -> None:
    database = platform.resources.database
    async with database.write(Scope(bob.tenant_id, bob.user_id)) as session:
        for table in ("models", "memberships", "login_sessions"):
            seen = (await session.execute(text(f"SELECT DISTINCT tenant_id FROM {table}"))).scalars().all()
            assert seen == [bob.tenant_id], table
        emails = (await session.execute(text("SELECT email FROM users"))).scalars().all()
        assert emails == [bob.email]
        changed = await session.execute(
            text("UPDATE models SET name = 'mine' WHERE tenant_id = :tenant"), {"tenant": ada.tenant_id}
        )
        assert changed.rowcount == 0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.write(Scope(bob.tenant_id, bob.user_id)) as session:
            await session.execute(
                text("INSERT INTO memberships (tenant_id, user_id, role) VALUES (:t, :u, 'owner')"),
                {"t": ada.tenant_id, "u": bob.user_id},
            )


@pytest.mark.parametrize("table", ["users", "tenants"])
async def test_the_application_removes_no_person_and_no_tenant(platform: Platform, ada: Account, table: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with platform.resources.database.write(Scope(ada.tenant_id, ada.user_id)) as session:
            await session.execute(text(f"DELETE FROM {table}"))


async def test_interleaved_transactions_with_rollbacks_never_show_foreign_rows(
    platform: Platform, settings: Settings, ada: Account, bob: Account
) -> None:
    """Two connections shared by both tenants: what a transaction sets must not outlive it."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    database = Database(settings.app_database_url.get_secret_value(), pool_size=1)
    foreign: list[UUID] = []
    rollbacks = 0

    async def visit(account: Account | None, fail: bool) -> None:
        nonlocal rollbacks
        scope = Scope(account.tenant_id, account.user_id) if account else Scope()
        try:
            async with database.write(scope) as session:
                seen = (await session.execute(text("SELECT tenant_id FROM models"))).scalars().all()
                foreign.extend(t for t in seen if account is None or t != account.tenant_id)
                assert bool(seen) == (account is not None)
                if fail:
                    raise InterruptedError
        except InterruptedError:
            rollbacks += 1

    visits = [(chance.choice([ada, bob, None]), chance.random() < 0.3) for _ in range(2000)]
    for start in range(0, len(visits), 50):
        await asyncio.gather(*(visit(*each) for each in visits[start : start + 50]))
    await database.close()

    assert foreign == [], f"seed {seed}"
    assert rollbacks > 300, f"seed {seed}: the fault did not happen"
