"""What a graph refers to at its tenant, read once: agents, their models, knowledge bases, tools, connections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Text, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.orm import InstrumentedAttribute

from shared.database.session import ReadSession
from shared.database.tables.agents import Agent, AgentKnowledgeBase
from shared.database.tables.knowledge import KnowledgeBase
from shared.database.tables.models import Model
from shared.database.tables.tools import Connection, Tool
from shared.kit.json import JsonObject
from shared.tools.catalogue import CATALOGUE, KNOWLEDGE_SEARCH
from shared.tools.definitions import TOOL_NAME
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.graph import Graph, Node
from shared.workflow.texts import Marked, Refers, marked
from shared.workflow.validate import References

Record = TypeVar("Record", Agent, Model, KnowledgeBase, Connection)

_UUID_LENGTHS = (32, 36)
_TOOL_FIELD = "tool"
_CONNECTION_FIELD = "connection_id"


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in the graph that names something of the tenant's."""

    node: str
    field: str
    kind: str
    id: UUID | str


@dataclass(frozen=True, slots=True)
class Pool:
    """What of the ids in the graph, and in its agents, the tenant really has; the rest is for validation to miss.

    `mentions` are the places that name something, in those nodes whose config is valid.
    """

    mentions: Sequence[Mention]
    agents: dict[UUID, Agent]
    agent_knowledge_bases: dict[UUID, tuple[UUID, ...]]
    models: dict[UUID, Model]
    knowledge_bases: dict[UUID, KnowledgeBase]
    connections: dict[UUID, Connection]
    # The tenant's own alone, by name.
    tools: dict[str, Tool]

    def references(self) -> References:
        tools = CATALOGUE.keys() | self.tools.keys()
        missing = {agent.id: tuple(name for name in agent.tools if name not in tools) for agent in self.agents.values()}
        return References(
            agents={agent.id: agent.model_id for agent in self.agents.values()},
            models=self.models.keys(),
            model_kinds={model.id: model.kind for model in self.models.values() if model.kind != "chat"},
            knowledge_bases=self.knowledge_bases.keys(),
            connections=self.connections.keys(),
            # A node has no knowledge bases: there is a type of node for that.
            tools=tools - {KNOWLEDGE_SEARCH},
            missing_tools={agent: names for agent, names in missing.items() if names},
        )


async def read_pool(session: ReadSession, graph: JsonObject) -> Pool:
    """A graph that is not well formed names nothing."""
    try:
        nodes = tuple(Graph.model_validate(graph).all_nodes())
    except ValidationError:
        nodes = ()
    ids = {found for node in nodes for found in _ids(node.config)}
    agents, attached = await _read_agents(session, ids)
    others = ids - agents.keys()
    models = await _read(session, Model, others | {agent.model_id for agent in agents.values()})
    bases = (others - models.keys()).union(*attached.values())
    named = {name for node in nodes for name in _values(node.config, _TOOL_FIELD)}
    connections = {id_ for node in nodes for each in _values(node.config, _CONNECTION_FIELD) for id_ in _ids(each)}
    return Pool(
        mentions=[mention for node in nodes for mention in _mentions(node)],
        agents=agents,
        agent_knowledge_bases=attached,
        models=models,
        knowledge_bases=await _read(session, KnowledgeBase, bases),
        connections=await _read(session, Connection, connections),
        tools=await _read_tools(session, named.union(*(agent.tools for agent in agents.values()))),
    )


def _ids(value: Any) -> Iterator[UUID]:
    """Everything that may be an id, wherever it stands: drafts are looked up too."""
    match value:
        case str() if len(value) in _UUID_LENGTHS:
            try:
                yield UUID(value)
            except ValueError:
                return
        case dict():
            for each in value.values():  # pyright: ignore[reportUnknownVariableType]
                yield from _ids(each)
        case list():
            for each in value:  # pyright: ignore[reportUnknownVariableType]
                yield from _ids(each)
        case _:
            return


def _values(value: Any, field: str) -> Iterator[str]:
    """What stands in fields of this name, wherever they are."""
    match value:
        case dict():
            for key, each in value.items():  # pyright: ignore[reportUnknownVariableType]
                if key == field and isinstance(each, str):
                    yield each
                else:
                    yield from _values(each, field)
        case list():
            for each in value:  # pyright: ignore[reportUnknownVariableType]
                yield from _values(each, field)
        case _:
            return


def _mentions(node: Node) -> Iterator[Mention]:
    for each in _marked(node):
        if isinstance(each.mark, Refers):
            yield Mention(node.id, each.field, each.mark.kind, each.value)


def _marked(node: Node) -> Iterator[Marked]:
    model = NODE_CONFIGS.get(node.type)
    if model is None:
        return iter(())
    try:
        return marked(model.model_validate(node.config))
    except ValidationError:
        return iter(())


async def _read(session: ReadSession, record: type[Record], ids: set[UUID]) -> dict[UUID, Record]:
    if not ids:
        return {}
    found = await session.scalars(select(record).where(_is_one_of(record.id, ids)))
    return {each.id: each for each in found}


async def _read_tools(session: ReadSession, names: set[str]) -> dict[str, Tool]:
    wanted = sorted(name for name in names - CATALOGUE.keys() if TOOL_NAME.fullmatch(name))
    if not wanted:
        return {}
    found = await session.scalars(select(Tool).where(Tool.name == any_(literal(wanted, ARRAY(Text)))))
    return {tool.name: tool for tool in found}


async def _read_agents(session: ReadSession, ids: set[UUID]) -> tuple[dict[UUID, Agent], dict[UUID, tuple[UUID, ...]]]:
    """The agents, and the knowledge bases of those that have any."""
    if not ids:
        return {}, {}
    attached = (
        select(func.array_agg(AgentKnowledgeBase.knowledge_base_id))
        .where(AgentKnowledgeBase.agent_id == Agent.id)
        .scalar_subquery()
    )
    rows = (await session.execute(select(Agent, attached).where(_is_one_of(Agent.id, ids)))).all()
    agents = {agent.id: agent for agent, _ in rows}
    return agents, {agent.id: tuple(sorted(bases)) for agent, bases in rows if bases}


def _is_one_of(column: InstrumentedAttribute[UUID], ids: set[UUID]) -> ColumnElement[bool]:
    # One parameter however many ids there are: a list of thousands would be a statement of its own each time.
    return column == any_(literal(list(ids), ARRAY(PgUuid(as_uuid=True))))
