import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared.database import session as session_module
from shared.database.session import Scope, is_unique_violation
from tests.support.platform import Account, Platform


async def test_an_error_does_not_tell_what_was_sent(platform: Platform, ada: Account) -> None:
    """Errors are logged; and what somebody typed must not pass for the name of a constraint."""
    insert = text("INSERT INTO users (id, email, display_name, password_hash) VALUES (:id, :email, :name, :hash)")
    sent = {"id": ada.user_id, "email": "other@example.com", "name": "uq_users_email", "hash": "canary"}
    with pytest.raises(IntegrityError) as caught:
        async with platform.resources.database.write(Scope(ada.tenant_id, ada.user_id)) as session:
            await session.execute(insert, sent)

    assert "canary" not in str(caught.value)
    assert is_unique_violation(caught.value, "pk_users")
    assert not is_unique_violation(caught.value, "uq_users_email")


async def test_connections_that_the_server_has_ended_are_replaced(platform: Platform) -> None:
    database = platform.resources.database
    ours = text("SELECT pg_backend_pid()")
    async with database.read(Scope()) as first, database.read(Scope()) as second:
        ended = {await first.scalar(ours), await second.scalar(ours)}
    async with database.read(Scope()) as other:
        ended.discard(await other.scalar(ours))
        for pid in ended:
            assert await other.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    async with database.read(Scope()) as first, database.read(Scope()) as second:
        assert ended.isdisjoint({await first.scalar(ours), await second.scalar(ours)})


async def test_a_connection_that_was_silent_for_long_is_asked_before_it_is_used(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_LONG_IDLE", 0.0)
    database = platform.resources.database
    asked = 0

    def ping(connection: Any) -> bool:
        nonlocal asked
        asked += 1
        return asked > 1

    monkeypatch.setattr(database.engine.dialect, "do_ping", ping)
    async with database.read(Scope()) as session:
        await session.scalar(text("SELECT 1"))
    async with database.read(Scope()) as session:
        assert await session.scalar(text("SELECT 1")) == 1
    assert asked >= 1


async def test_who_freezes_in_a_transaction_loses_his_locks(platform: Platform, ada: Account) -> None:
    database = platform.resources.database
    async with database.read(Scope()) as session:
        assert await session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"
    lock = text("SELECT id FROM users WHERE id = :id FOR UPDATE")
    async with database.read(Scope(ada.tenant_id, ada.user_id)) as frozen:
        await frozen.execute(text("SET LOCAL idle_in_transaction_session_timeout = '200ms'"))
        await frozen.execute(lock, {"id": ada.user_id})
        async with asyncio.timeout(5), database.write(Scope(ada.tenant_id, ada.user_id)) as other:
            await other.execute(lock, {"id": ada.user_id})
        with pytest.raises(DBAPIError):
            await frozen.execute(lock, {"id": ada.user_id})
