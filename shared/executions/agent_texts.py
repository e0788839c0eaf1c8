"""Whether the texts of agents, which are templates over the inputs, fit the graphs that the agents work in."""

from collections.abc import Iterator
from uuid import UUID

from shared.database.tables.agents import Agent
from shared.executions.pool import Pool
from shared.kit.json import JsonObject
from shared.workflow.agent_texts import TEXTS
from shared.workflow.expressions import ExpressionError, compile_template
from shared.workflow.graph import Graph
from shared.workflow.problems import Problem, error


def agent_text_problems(graph: Graph, pool: Pool) -> Iterator[Problem]:
    """For each place that names an agent: what its texts ask for and the graph does not give."""
    for mention in pool.mentions:
        agent = pool.agents.get(mention.id) if isinstance(mention.id, UUID) else None
        if agent is None:
            continue
        for text, complaint in _complaints(agent, graph.inputs):
            message = f"node {mention.node!r}, {mention.field}: the {text} of agent {agent.name!r} {complaint}"
            yield error("agent_text_invalid", message, node=mention.node, field=mention.field)


def _complaints(agent: Agent, inputs: JsonObject) -> Iterator[tuple[str, str]]:
    for text in TEXTS:
        try:
            paths = compile_template(getattr(agent, text)).paths
        except ExpressionError as broken:
            yield text, f"cannot be read: {broken.message}"
            continue
        for path in paths:
            if path[0] != "inputs":
                yield text, f"may refer to inputs alone, not to {path[0]!r}"
            elif len(path) > 1 and not _takes(inputs, path[1]):
                yield text, f"asks for the input {path[1]!r}, which the workflow does not have"


def _takes(schema: JsonObject, name: str | int) -> bool:
    properties = schema.get("properties")
    return bool(schema.get("additionalProperties")) or (isinstance(properties, dict) and name in properties)
