"""A few connections of the worker's own, to asyncpg directly: see docs/decisions/0005-ledger-writes.md."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from shared.database.away import SERVER_AWAY
from shared.database.url import asyncpg_url
from shared.kit.json import loads

Row = Mapping[str, Any]

# The server is away, cannot be reached, or takes too long.
AWAY: tuple[type[Exception], ...] = (OSError, TimeoutError, *SERVER_AWAY)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0

_SET_TENANT = "SELECT set_config('app.tenant_id', $1, true)"


class _Connection(asyncpg.Connection):
    def get_reset_query(self) -> str:
        # Nothing is left on a connection that would have to be reset, and the round trip would double every write.
        return ""


class Connections:
    """Opens what it needs as it needs it, up to `size`; gives up on an answer after `patience` seconds."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, size: int, patience: float) -> "Connections":
        pool: Any = asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType]
            asyncpg_url(url).set(drivername="postgresql").render_as_string(hide_password=False),
            min_size=0,
            max_size=size,
            init=_speak_json,
            connection_class=_Connection,
            timeout=patience,
            command_timeout=patience,
            server_settings={"application_name": "quarterdeck worker", "jit": "off"},
        )
        return cls(await pool)

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Row]:
        """One statement, which is one transaction. jsonb goes in as bytes of JSON and comes out decoded."""
        return await self._pool.fetch(query, *arguments)

    async def fetch_persistently(self, query: str, *arguments: Any, within: float) -> Sequence[Row]:
        """As `fetch`, and again while the database is away, for so many seconds. For what may be done twice."""
        pause = FIRST_PAUSE
        deadline = asyncio.get_running_loop().time() + within
        while True:
            try:
                return await self.fetch(query, *arguments)
            except AWAY:
                if asyncio.get_running_loop().time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncGenerator[Any]:
        """A connection in a transaction that reads as this tenant."""
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.fetch(_SET_TENANT, str(tenant_id))
            yield connection

    async def close(self) -> None:
        """At once: what is under way is cut off, and not written."""
        self._pool.terminate()


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_jsonb_from, decoder=_jsonb_to
    )


# In the binary format jsonb is its version and then the text: no decoding to str and back on our side.
def _jsonb_from(text: bytes) -> bytes:
    return b"\x01" + text


def _jsonb_to(raw: bytes) -> Any:
    return loads(raw[1:])
