"""All queries on tools. Row-level security narrows each of them to the caller's tenant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, collate, or_, select

from services.tools.tools.schemas import ToolKind, ToolSort
from shared.database.naming import workflows_naming
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.agents import Agent
from shared.database.tables.tools import Connection, Tool
from shared.workflow.states import Effect

# Where a graph, or a body within it, uses a tool.
_NAMES_TOOL = '$.** ? (@.type == "tool" && @.config.tool == $named)'


@dataclass(frozen=True, slots=True)
class Filters:
    """What is given has to hold for each tool; `q` is looked for in its name and description."""

    q: str | None = None
    kind: ToolKind | None = None
    effect: Effect | None = None

    def conditions(self) -> Iterable[ColumnElement[bool]]:
        if self.q:
            yield or_(*(field.icontains(self.q, autoescape=True) for field in (Tool.name, Tool.description)))
        if self.kind is not None:
            yield Tool.kind == self.kind.value
        if self.effect is not None:
            yield Tool.effect == self.effect.value


async def tools(
    session: ReadSession, filters: Filters, sort: ToolSort, after: str | None, limit: int
) -> Sequence[Tool]:
    """By name, in the order in which Python puts names too."""
    name = collate(Tool.name, "C")
    descending = sort is ToolSort.NAME_DOWN
    statement = select(Tool).where(*filters.conditions()).order_by(name.desc() if descending else name).limit(limit)
    if after is not None:
        statement = statement.where(name < after if descending else name > after)
    return (await session.scalars(statement)).all()


async def get_tool(session: ReadSession, tool_id: UUID) -> Tool | None:
    return await session.get(Tool, tool_id)


async def lock_tool(session: WriteSession, tool_id: UUID) -> Tool | None:
    """Held against change and against new references, until this transaction ends."""
    return await session.get(Tool, tool_id, with_for_update=True)


async def hold_connection(session: WriteSession, connection_id: UUID) -> Connection | None:
    """The connection, which cannot be deleted until this transaction ends."""
    statement = select(Connection).where(Connection.id == connection_id)
    return await session.scalar(statement.with_for_update(read=True, key_share=True))


async def agents_using(session: ReadSession, name: str, limit: int) -> Sequence[tuple[UUID, str]]:
    statement = select(Agent.id, Agent.name).where(Agent.tools.contains([name]))
    rows = await session.execute(statement.order_by(Agent.name, Agent.id).limit(limit))
    return [(id_, name) for id_, name in rows]


async def workflows_using(session: ReadSession, name: str, limit: int) -> Sequence[tuple[UUID, str]]:
    """Workflows whose latest version has a node that uses the tool."""
    return await workflows_naming(session, _NAMES_TOOL, name, limit)
