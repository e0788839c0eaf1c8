"""A graph made ready to run: configs parsed, expressions compiled, edges resolved. Made once per graph."""

from collections import OrderedDict
from dataclasses import dataclass

from services.orchestration.engine.steps.base import Step
from services.orchestration.engine.steps.registry import STEPS
from shared.kit.json import JsonObject, canonical
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.configs.flow import BodyConfig
from shared.workflow.expressions import Expression, compile_expression
from shared.workflow.graph import Body, Edge, Graph, Node

# A plan weighs many times its graph; these are bytes of graphs, of which a usual one has a few thousand.
_CACHED_BYTES = 1_000_000


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
    body: "Plan | None" = None


@dataclass(frozen=True, slots=True)
class Plan:
    nodes: tuple[PlannedNode, ...]
    outputs: tuple[tuple[str, Expression], ...] = ()
    # Of a body: what each passage through it gives.
    output: Expression | None = None

    @property
    def roots(self) -> list[PlannedNode]:
        return [node for node in self.nodes if node.incoming == 0]


class PlanCache:
    """The plans last used, by content of the graph."""

    def __init__(self, most_bytes: int = _CACHED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()

    def plan_of(self, graph: JsonObject) -> Plan:
        """The plan of a graph that passed validation; the same object while it is remembered."""
        key = canonical(graph)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = make_plan(graph)
            self._bytes += len(key)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._plans.popitem(last=False)[0])
        else:
            self._plans.move_to_end(key)
        return plan


plan_of = PlanCache().plan_of


def make_plan(stored: JsonObject) -> Plan:
    graph = Graph.model_validate(stored)
    outputs = tuple((name, compile_expression(source)) for name, source in graph.outputs.items())
    return Plan(_nodes(graph), outputs)


def _nodes(graph: Graph | Body) -> tuple[PlannedNode, ...]:
    numbers = {node.id: index for index, node in enumerate(graph.nodes)}
    leaving: dict[str, list[PlannedEdge]] = {node.id: [] for node in graph.nodes}
    incoming = dict.fromkeys(numbers, 0)
    for edge in graph.edges:
        leaving[edge.source].append(_edge(edge, numbers))
        incoming[edge.target] += 1
    return tuple(
        _node(node, index, tuple(leaving[node.id]), incoming[node.id]) for index, node in enumerate(graph.nodes)
    )


def _body(body: Body) -> Plan:
    return Plan(_nodes(body), output=None if body.output is None else compile_expression(body.output))


def _edge(edge: Edge, numbers: dict[str, int]) -> PlannedEdge:
    return PlannedEdge(
        target=numbers[edge.target],
        port=edge.port,
        when=None if edge.when is None else compile_expression(edge.when),
        label=f"edge {edge.source} -> {edge.target}",
    )


def _node(node: Node, index: int, edges: tuple[PlannedEdge, ...], incoming: int) -> PlannedNode:
    config = NODE_CONFIGS[node.type].model_validate(node.config)
    return PlannedNode(
        index=index,
        id=node.id,
        type=node.type,
        name=node.name or node.id,
        step=STEPS[node.type](config),
        attempts=1 + (node.retry.max if node.retry else 0),
        backoff=node.retry.backoff_ms / 1000 if node.retry else 0.0,
        timeout=None if node.timeout_ms is None else node.timeout_ms / 1000,
        edges=edges,
        incoming=incoming,
        body=_body(config.body) if isinstance(config, BodyConfig) else None,
    )
