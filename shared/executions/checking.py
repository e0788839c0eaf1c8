"""What is wrong with a graph at this tenant."""

from collections import OrderedDict

from shared.executions.agent_texts import agent_text_problems
from shared.executions.pool import Pool
from shared.kit.json import JsonObject, content_hash
from shared.workflow.graph import Graph
from shared.workflow.problems import Problem
from shared.workflow.validate import References, validate_graph

# A version is started far more often than it, or what it refers to, changes. Content alone is the key.
_validated: OrderedDict[tuple[object, ...], tuple[Problem, ...]] = OrderedDict()
_MOST_VALIDATED = 500


def graph_problems(graph: JsonObject, pool: Pool) -> list[Problem]:
    """Agents' texts included; what other workflows the graph starts is not looked at."""
    problems = validated(graph, pool.references())
    if pool.mentions:
        problems += agent_text_problems(Graph.model_validate(graph), pool)
    return problems


def validated(graph: JsonObject, references: References) -> list[Problem]:
    key = (
        content_hash(graph),
        frozenset(references.agents.items()),
        frozenset(references.models),
        frozenset(references.knowledge_bases),
        frozenset(references.connections),
        frozenset(references.tools),
        frozenset(references.missing_tools.items()),
    )
    if key not in _validated:
        _validated[key] = tuple(validate_graph(graph, references))
        if len(_validated) > _MOST_VALIDATED:
            _validated.popitem(last=False)
    return list(_validated[key])
