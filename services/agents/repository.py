"""All queries on agents. Row-level security narrows each of them to the caller's tenant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, insert, or_, select

from services.agents.schemas import AgentSort
from shared.database.naming import workflows_naming
from shared.database.session import ReadSession, WriteSession
from shared.database.sorting import Sorting, by_name, by_time
from shared.database.tables.agents import Agent, AgentKnowledgeBase
from shared.database.tables.knowledge import KnowledgeBase
from shared.database.tables.models import Model
from shared.database.tables.tools import Tool

# Where a graph, or a body within it, names an agent. Lax mode looks into arrays by itself.
_NAMES_AGENT = (
    "$.**.config ? (@.agent_id == $named || @.manager_agent_id == $named"
    " || @.agent_ids[*] == $named || @.tasks[*].agent_id == $named)"
)


SORTINGS = {
    AgentSort.NEWEST: by_time(Agent.created_at, Agent.id, descending=True),
    AgentSort.OLDEST: by_time(Agent.created_at, Agent.id, descending=False),
    AgentSort.NAME: by_name(Agent.name, Agent.id, descending=False),
    AgentSort.NAME_DOWN: by_name(Agent.name, Agent.id, descending=True),
    AgentSort.CHANGED: by_time(Agent.updated_at, Agent.id, descending=True),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What is given has to hold for each agent; `q` is looked for in its name, description and role."""

    q: str | None = None
    model_id: UUID | None = None
    tool: str | None = None
    knowledge_base_id: UUID | None = None

    def conditions(self) -> Iterable[ColumnElement[bool]]:
        if self.q:
            fields = (Agent.name, Agent.description, Agent.role)
            yield or_(*(field.icontains(self.q, autoescape=True) for field in fields))
        if self.model_id is not None:
            yield Agent.model_id == self.model_id
        if self.tool is not None:
            yield Agent.tools.contains([self.tool])
        if self.knowledge_base_id is not None:
            linked = select(AgentKnowledgeBase.agent_id)
            yield Agent.id.in_(linked.where(AgentKnowledgeBase.knowledge_base_id == self.knowledge_base_id))


async def agents(
    session: ReadSession, filters: Filters, sorting: Sorting, after: tuple[Any, UUID] | None, limit: int
) -> Sequence[Agent]:
    statement = sorting.page(select(Agent).where(*filters.conditions()), after, limit)
    return (await session.scalars(statement)).all()


async def get_agent(session: ReadSession, agent_id: UUID) -> Agent | None:
    return await session.get(Agent, agent_id)


async def lock_agent(session: WriteSession, agent_id: UUID) -> Agent | None:
    return await session.get(Agent, agent_id, with_for_update=True)


async def delete_agent(session: WriteSession, agent: Agent) -> None:
    await session.delete(agent)


async def knowledge_bases_of(session: ReadSession, agent_ids: Iterable[UUID]) -> dict[UUID, list[UUID]]:
    """By agent, in a stable order."""
    rows = await session.execute(
        select(AgentKnowledgeBase.agent_id, AgentKnowledgeBase.knowledge_base_id)
        .where(AgentKnowledgeBase.agent_id.in_(agent_ids))
        .order_by(AgentKnowledgeBase.knowledge_base_id)
    )
    found: dict[UUID, list[UUID]] = {}
    for agent_id, base_id in rows:
        found.setdefault(agent_id, []).append(base_id)
    return found


async def attach_knowledge_bases(session: WriteSession, agent: Agent, base_ids: Sequence[UUID]) -> None:
    """These and no others."""
    await session.execute(delete(AgentKnowledgeBase).where(AgentKnowledgeBase.agent_id == agent.id))
    if base_ids:
        links = [{"tenant_id": agent.tenant_id, "agent_id": agent.id, "knowledge_base_id": id_} for id_ in base_ids]
        await session.execute(insert(AgentKnowledgeBase), links)


async def hold_model(session: WriteSession, model_id: UUID) -> Model | None:
    """The model, which cannot be deleted until this transaction ends."""
    return await session.scalar(select(Model).where(Model.id == model_id).with_for_update(read=True, key_share=True))


async def hold_knowledge_bases(session: WriteSession, base_ids: Iterable[UUID]) -> set[UUID]:
    """Those of them that are there; they cannot be deleted until this transaction ends."""
    statement = (
        select(KnowledgeBase.id)
        .where(KnowledgeBase.id.in_(base_ids))
        .order_by(KnowledgeBase.id)
        .with_for_update(read=True, key_share=True)
    )
    return set(await session.scalars(statement))


async def hold_tools(session: WriteSession, names: Iterable[str]) -> set[str]:
    """Those of them that are the tenant's own; they cannot be deleted or renamed until this transaction ends."""
    statement = (
        select(Tool.name).where(Tool.name.in_(names)).order_by(Tool.id).with_for_update(read=True, key_share=True)
    )
    return set(await session.scalars(statement))


async def workflows_using(session: ReadSession, agent_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    """Ids and names of workflows whose latest version names the agent."""
    return await workflows_naming(session, _NAMES_AGENT, agent_id, limit)
