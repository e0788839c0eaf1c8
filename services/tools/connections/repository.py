"""All queries on connections. Row-level security narrows each of them to the caller's tenant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from services.tools.connections.schemas import ConnectionSort
from shared.database.naming import workflows_naming
from shared.database.session import ReadSession, WriteSession
from shared.database.sorting import Sorting, by_name, by_time
from shared.database.tables.tools import Connection, Tool
from shared.tools.connections import ConnectionKind

# Where a graph, or a body within it, names a connection.
_NAMES_CONNECTION = "$.**.config ? (@.connection_id == $named)"

SORTINGS = {
    ConnectionSort.NEWEST: by_time(Connection.created_at, Connection.id, descending=True),
    ConnectionSort.OLDEST: by_time(Connection.created_at, Connection.id, descending=False),
    ConnectionSort.NAME: by_name(Connection.name, Connection.id, descending=False),
    ConnectionSort.NAME_DOWN: by_name(Connection.name, Connection.id, descending=True),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What is given has to hold for each connection; `q` is looked for in its name and host."""

    q: str | None = None
    kind: ConnectionKind | None = None

    def conditions(self) -> Iterable[ColumnElement[bool]]:
        if self.q:
            yield or_(*(field.icontains(self.q, autoescape=True) for field in (Connection.name, Connection.host)))
        if self.kind is not None:
            yield Connection.kind == self.kind.value


async def connections(
    session: ReadSession, filters: Filters, sorting: Sorting, after: tuple[Any, UUID] | None, limit: int
) -> Sequence[Connection]:
    statement = sorting.page(select(Connection).where(*filters.conditions()), after, limit)
    return (await session.scalars(statement)).all()


async def get_connection(session: ReadSession, connection_id: UUID) -> Connection | None:
    return await session.get(Connection, connection_id)


async def lock_connection(session: WriteSession, connection_id: UUID) -> Connection | None:
    """Held against change and against new references, until this transaction ends."""
    return await session.get(Connection, connection_id, with_for_update=True)


async def tools_using(session: ReadSession, connection_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    statement = select(Tool.id, Tool.name).where(Tool.connection_id == connection_id).order_by(Tool.name).limit(limit)
    return [(id_, name) for id_, name in await session.execute(statement)]


async def workflows_using(session: ReadSession, connection_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    """Workflows whose latest version has a node that names the connection."""
    return await workflows_naming(session, _NAMES_CONNECTION, connection_id, limit)
