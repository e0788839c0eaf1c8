"""The session boundary: the one place that opens, commits and rolls back transactions.

Every transaction starts by telling Postgres whose it is; row-level security does the rest. With no tenant
set a query sees no rows of any tenant. Side effects (ringing a worker, publishing) are queued on the session and
happen after the commit; a rolled-back transaction causes none.
"""

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.orm import SessionTransaction
from sqlalchemy.pool import ConnectionPoolEntry

from shared.database.url import asyncpg_url
from shared.kit.json import dumps, loads
from shared.kit.logging import get_logger

log = get_logger(__name__)

# Seconds: what lies between us and the server may have forgotten a connection that was silent for longer.
_LONG_IDLE = 30.0

_SETTINGS = {
    "application_name": "quarterdeck",
    "jit": "off",
    # A process that is frozen between two statements keeps its locks: nobody could go on with an execution that it was
    # just cancelling. Nothing here waits for the world with a transaction open.
    "idle_in_transaction_session_timeout": "60s",
}

AfterCommit = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a transaction may touch. Both None: only what no tenant owns."""

    tenant_id: UUID | None = None
    user_id: UUID | None = None

    def as_parameters(self) -> dict[str, str]:
        return {"tenant": str(self.tenant_id or ""), "user": str(self.user_id or "")}


class ReadSession(AsyncSession):
    """For queries. Handing one to a function that writes is a type error."""


class WriteSession(ReadSession):
    """For queries and changes; committed by the boundary that opened it, never by its users."""

    @property
    def _after_commit(self) -> list[AfterCommit]:
        return self.info.setdefault("after_commit", [])

    async def set_scope(self, scope: Scope) -> None:
        """For the few places that learn in mid-transaction whose rows they may touch, such as sign-in."""
        self.info["scope"] = scope
        await self.execute(_SET_SCOPE, scope.as_parameters())

    def after_commit(self, effect: AfterCommit) -> None:
        """Runs `effect` once this transaction is durable, and never if it is not."""
        self._after_commit.append(effect)


_SET_SCOPE = text("SELECT set_config('app.tenant_id', :tenant, true), set_config('app.user_id', :user, true)")


@event.listens_for(SyncSession, "after_begin")
def _announce_scope(session: SyncSession, _: SessionTransaction, connection: Connection) -> None:
    scope: Scope = session.info.get("scope", Scope())
    connection.execute(_SET_SCOPE, scope.as_parameters())


class Database:
    """One per process; made after any fork."""

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        self.engine: AsyncEngine = create_async_engine(
            asyncpg_url(url),
            # What a burst has opened stays open: to sign in costs as much as ten transactions. And what was used last
            # is used next, so that a few connections know all statements.
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            # An error's text gets into logs; password hashes and what tenants wrote must not get there with it.
            hide_parameters=True,
            json_serializer=dumps,
            json_deserializer=loads,
            connect_args={"server_settings": _SETTINGS},
        )
        _replace_broken(self.engine)

    @asynccontextmanager
    async def write(self, scope: Scope) -> AsyncGenerator[WriteSession]:
        """A transaction: committed when the block ends well, rolled back when it raises."""
        effects: list[AfterCommit] = []
        async with (
            WriteSession(
                self.engine, expire_on_commit=False, info={"scope": scope, "after_commit": effects}
            ) as session,
            session.begin(),
        ):
            yield session
        for effect in effects:
            await _run_effect(effect)

    @asynccontextmanager
    async def read(self, scope: Scope) -> AsyncGenerator[ReadSession]:
        async with ReadSession(self.engine, info={"scope": scope}) as session:
            yield session

    async def close(self) -> None:
        await self.engine.dispose()


def _replace_broken(engine: AsyncEngine) -> None:
    """A connection that broke while it lay in the pool is found when it is taken from there, and a new one is made.

    `pool_pre_ping` does that with three round trips for every transaction. But of a server that ends the connection
    knows; only one that was silent for long must be asked.
    """
    dialect = engine.dialect

    def answers(connection: Any) -> bool:
        try:
            return dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error:
            return False

    def taken(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        silent = time.monotonic() - record.info.pop("silent_since", math.inf)  # a new one never was
        if connection.driver_connection.is_closed() or (silent > _LONG_IDLE and not answers(connection)):
            raise InvalidatePoolError

    def given_back(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["silent_since"] = time.monotonic()

    event.listen(engine.sync_engine, "checkout", taken)
    event.listen(engine.sync_engine, "checkin", given_back)


async def _run_effect(effect: Callable[[], Awaitable[Any]]) -> None:
    try:
        await effect()
    except Exception:
        # The transaction stands whatever happens here: what was not rung or published is found again later.
        log.exception("effect after commit failed")


def is_unique_violation(error: Exception, constraint: str) -> bool:
    """Whether `error` (an IntegrityError) says that `constraint` was violated."""
    return constraint in str(error)
