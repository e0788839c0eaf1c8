"""What an expression may read, depending on where in a graph it stands."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared.workflow.configs.base import NodeConfig
from shared.workflow.configs.flow import LoopConfig, MapConfig
from shared.workflow.graph import Body, Graph, Node, upstream
from shared.workflow.problems import Problem

EXECUTION_FIELDS = ("id", "created_at")

_Complaints = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of a body: the node it belongs to, what of the outside can be read in it, and what it repeats for."""

    node: str | None = None
    visible: frozenset[str] = frozenset()
    item: bool = False
    iteration: Literal["map", "loop"] | None = None
    depth: int = 0


class Level:
    """A graph, or the body of a node; `configs` has those of its nodes that are in order."""

    def __init__(self, graph: Graph | Body, around: Surroundings | None = None) -> None:
        self.graph = graph
        self.around = around or Surroundings()
        self.ids = frozenset(node.id for node in graph.nodes)
        self.configs: dict[str, NodeConfig] = {}
        self._upstream = upstream(graph.edges)

    def before(self, node: str) -> frozenset[str]:
        """What has ended when this node begins."""
        return self.around.visible.union(self._upstream.get(node, ()))

    @property
    def at_the_end(self) -> frozenset[str]:
        return self.around.visible | self.ids

    def inside(self, node: Node, config: NodeConfig, body: Body) -> "Level":
        """The body of one of its nodes."""
        around = self.around
        return Level(
            body,
            Surroundings(
                node.id,
                self.before(node.id),
                item=around.item or isinstance(config, MapConfig),
                iteration="loop" if isinstance(config, LoopConfig) else "map",
                depth=around.depth + 1,
            ),
        )

    def placed(self, problem: Problem) -> Problem:
        """A problem of the graph, said of the node whose body it is."""
        if self.around.node is None or problem.field is None or not problem.field.startswith("edges"):
            return problem
        return replace(problem, node=self.around.node, field=f"body.{problem.field}")


class Paths:
    """`inputs` are the declared ones, or None for any; `homes` has all nodes, and the node in whose body each is."""

    def __init__(self, inputs: Mapping[str, Any] | None, homes: Mapping[str, str | None]) -> None:
        self._inputs = inputs
        self._homes = homes

    def complaints(self, path: tuple[str | int, ...], visible: AbstractSet[str], around: Surroundings) -> _Complaints:
        """Codes and words, for one path that an expression reads."""
        match path:
            case ("nodes",):
                yield "reference_unknown", "name the node: nodes.<id>.output"
            case ("nodes", node, *rest):
                yield from self._of_node(node, rest, visible)
            case ("inputs", name, *_) if self._inputs is not None and name not in self._inputs:
                known = ", ".join(self._inputs) or "none"
                yield "input_unknown", f"there is no input {name!r}; declared are: {known}"
            case ("item", *_) if not around.item:
                yield "reference_unknown", "item is only there inside a map"
            case ("iteration", *rest):
                yield from _of_iteration(rest, around)
            case ("execution", name, *_) if name not in EXECUTION_FIELDS:
                yield "reference_unknown", f"execution has {' and '.join(EXECUTION_FIELDS)}, no {name!r}"
            case _:
                pass

    def _of_node(self, node: str | int, rest: list[str | int], visible: AbstractSet[str]) -> _Complaints:
        if node not in self._homes:
            yield "reference_unknown", f"there is no node {node!r}"
        elif node not in visible:
            yield "reference_not_upstream", self._out_of_reach(str(node))
        if rest and rest[0] != "output":
            yield "reference_unknown", f"a node has only output: write nodes.{node}.output"

    def _out_of_reach(self, node: str) -> str:
        home = self._homes[node]
        if home is None:
            return f"node {node!r} does not come before this one: draw an edge from it"
        return (
            f"node {node!r}, in the body of {home!r}, does not come before this one: "
            f"draw an edge from it if this is in that body too, else read nodes.{home}.output"
        )


def _of_iteration(rest: list[str | int], around: Surroundings) -> _Complaints:
    if around.iteration is None:
        yield "reference_unknown", "iteration is only there inside a map or a loop"
        return
    known = ("index", "previous") if around.iteration == "loop" else ("index",)
    if rest and rest[0] not in known:
        yield "reference_unknown", f"iteration has {' and '.join(known)} here, no {rest[0]!r}"
