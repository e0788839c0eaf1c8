"""Work that takes its time, as executions do, waits for a database that is away instead of failing."""

import asyncio
from collections.abc import Awaitable, Callable
from socket import gaierror
from typing import TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneIsFree

from shared.kit.logging import get_logger

log = get_logger(__name__)

T = TypeVar("T")

# The server is away, restarting, or did something to this transaction that it would not do to the next one.
SERVER_AWAY: tuple[type[Exception], ...] = (
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.InternalServerError,
    asyncpg.ReadOnlySQLTransactionError,  # a replica that is about to take over, or was about to be one
    asyncpg.InternalClientError,  # what asyncpg says when a connection breaks at a moment it did not expect
)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# Longer than a worker keeps what it runs while it cannot reach the database: after that nobody waits here any more.
PATIENCE = 300.0


def is_away(error: BaseException) -> bool:
    """Whether the same transaction may do well a little later. `error` is SQLAlchemy's or the driver's own."""
    if isinstance(error, DBAPIError):
        cause = error.orig and error.orig.__cause__
        # Values that the driver cannot send are an InterfaceError too, and a ValueError besides.
        return error.connection_invalidated or (isinstance(cause, SERVER_AWAY) and not isinstance(cause, ValueError))
    # Where no connection comes about at all, the driver lets the system's error through; a file's is none of these.
    return isinstance(error, (*SERVER_AWAY, NoneIsFree, ConnectionError, gaierror)) or type(error) is OSError


async def outlast(act: Callable[[], Awaitable[T]], within: float = PATIENCE) -> T:
    """What `act` gives, which is tried again while the database is away, for so many seconds. For what may be done
    twice: nobody knows of a transaction that breaks whether it was committed."""
    pause = _FIRST_PAUSE
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            return await act()
        except Exception as error:
            if not is_away(error) or asyncio.get_running_loop().time() + pause > deadline:
                raise
            if pause == _FIRST_PAUSE:
                log.warning("the database is waited for", error=type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
