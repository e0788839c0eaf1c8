"""What a graph refers to at its tenant, read once: agents, their models, knowledge bases."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select

from shared.database.session import ReadSession
from shared.database.tables.agents import Agent, AgentKnowledgeBase
from shared.database.tables.knowledge import KnowledgeBase
from shared.database.tables.models import Model
from shared.kit.json import JsonObject
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.graph import Graph
from shared.workflow.texts import Marked, Refers, marked
from shared.workflow.validate import References


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in the graph that names something of the tenant's."""

    node: str
    field: str
    kind: str
    id: UUID


@dataclass(frozen=True, slots=True)
class Pool:
    """Only what the graph names and what the tenant really has; the rest is for validation to miss."""

    mentions: Sequence[Mention]
    agents: dict[UUID, Agent]
    agent_knowledge_bases: dict[UUID, tuple[UUID, ...]]
    models: dict[UUID, Model]
    knowledge_bases: frozenset[UUID]

    def references(self) -> References:
        return References(
            agents={agent.id: agent.model_id for agent in self.agents.values()},
            models=self.models.keys(),
            knowledge_bases=self.knowledge_bases,
        )


async def read_pool(session: ReadSession, graph: JsonObject) -> Pool:
    """A graph that is not well formed names nothing."""
    mentions = list(_mentions(graph))
    agents = await _read_agents(session, {m.id for m in mentions if m.kind == "agent"})
    model_ids = {m.id for m in mentions if m.kind == "model"} | {agent.model_id for agent in agents.values()}
    return Pool(
        mentions=mentions,
        agents=agents,
        agent_knowledge_bases=await _read_agent_knowledge_bases(session, agents.keys()),
        models=await _read_models(session, model_ids),
        knowledge_bases=await _read_knowledge_bases(session, {m.id for m in mentions if m.kind == "knowledge_base"}),
    )


def _mentions(graph: JsonObject) -> Iterator[Mention]:
    try:
        parsed = Graph.model_validate(graph)
    except ValidationError:
        return
    for node in parsed.nodes:
        for each in _marked_of(node.type, node.config):
            if isinstance(each.mark, Refers):
                yield Mention(node.id, each.field, each.mark.kind, each.value)


def _marked_of(node_type: str, config: JsonObject) -> Iterator[Marked]:
    model = NODE_CONFIGS.get(node_type)
    if model is None:
        return iter(())
    try:
        return marked(model.model_validate(config))
    except ValidationError:
        return iter(())


T = TypeVar("T", Agent, Model)


async def _read_agents(session: ReadSession, ids: Iterable[UUID]) -> dict[UUID, Agent]:
    wanted = list(ids)
    if not wanted:
        return {}
    return {agent.id: agent for agent in await session.scalars(select(Agent).where(Agent.id.in_(wanted)))}


async def _read_models(session: ReadSession, ids: Iterable[UUID]) -> dict[UUID, Model]:
    wanted = list(ids)
    if not wanted:
        return {}
    return {model.id: model for model in await session.scalars(select(Model).where(Model.id.in_(wanted)))}


async def _read_knowledge_bases(session: ReadSession, ids: Iterable[UUID]) -> frozenset[UUID]:
    wanted = list(ids)
    if not wanted:
        return frozenset()
    return frozenset(await session.scalars(select(KnowledgeBase.id).where(KnowledgeBase.id.in_(wanted))))


async def _read_agent_knowledge_bases(session: ReadSession, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, ...]]:
    wanted = list(ids)
    if not wanted:
        return {}
    statement = (
        select(AgentKnowledgeBase.agent_id, AgentKnowledgeBase.knowledge_base_id)
        .where(AgentKnowledgeBase.agent_id.in_(wanted))
        .order_by(AgentKnowledgeBase.knowledge_base_id)
    )
    attached: dict[UUID, tuple[UUID, ...]] = {}
    for agent_id, knowledge_base_id in await session.execute(statement):
        attached[agent_id] = (*attached.get(agent_id, ()), knowledge_base_id)
    return attached
