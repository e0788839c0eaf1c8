"""A graph made ready to run: configs parsed, expressions compiled, edges resolved. Made once per graph."""

from dataclasses import dataclass
from functools import lru_cache

from services.orchestration.engine.steps.base import Step
from services.orchestration.engine.steps.registry import STEPS
from shared.kit.json import JsonObject, canonical, loads
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.expressions import Expression, compile_expression
from shared.workflow.graph import Edge, Graph, Node

_CACHED_GRAPHS = 256


@dataclass(frozen=True, slots=True)
class PlannedEdge:
    target: int
    port: str | None
    when: Expression | None
    label: str


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """`incoming` is the number of edges that lead here."""

    index: int
    id: str
    type: str
    name: str
    step: Step
    attempts: int
    backoff: float
    timeout: float | None
    edges: tuple[PlannedEdge, ...]
    incoming: int


@dataclass(frozen=True, slots=True)
class Plan:
    nodes: tuple[PlannedNode, ...]
    outputs: tuple[tuple[str, Expression], ...]

    @property
    def roots(self) -> list[PlannedNode]:
        return [node for node in self.nodes if node.incoming == 0]


def plan_of(graph: JsonObject) -> Plan:
    """The plan of a graph that passed validation; the same object for the same graph."""
    return _plan(canonical(graph))


@lru_cache(maxsize=_CACHED_GRAPHS)
def _plan(stored: bytes) -> Plan:
    graph = Graph.model_validate(loads(stored))
    numbers = {node.id: index for index, node in enumerate(graph.nodes)}
    leaving: dict[str, list[PlannedEdge]] = {node.id: [] for node in graph.nodes}
    incoming = dict.fromkeys(numbers, 0)
    for edge in graph.edges:
        leaving[edge.source].append(_edge(edge, numbers))
        incoming[edge.target] += 1
    return Plan(
        nodes=tuple(
            _node(node, index, tuple(leaving[node.id]), incoming[node.id]) for index, node in enumerate(graph.nodes)
        ),
        outputs=tuple((name, compile_expression(source)) for name, source in graph.outputs.items()),
    )


def _edge(edge: Edge, numbers: dict[str, int]) -> PlannedEdge:
    return PlannedEdge(
        target=numbers[edge.target],
        port=edge.port,
        when=None if edge.when is None else compile_expression(edge.when),
        label=f"edge {edge.source} -> {edge.target}",
    )


def _node(node: Node, index: int, edges: tuple[PlannedEdge, ...], incoming: int) -> PlannedNode:
    return PlannedNode(
        index=index,
        id=node.id,
        type=node.type,
        name=node.name or node.id,
        step=STEPS[node.type](NODE_CONFIGS[node.type].model_validate(node.config)),
        attempts=1 + (node.retry.max if node.retry else 0),
        backoff=node.retry.backoff_ms / 1000 if node.retry else 0.0,
        timeout=None if node.timeout_ms is None else node.timeout_ms / 1000,
        edges=edges,
        incoming=incoming,
    )
