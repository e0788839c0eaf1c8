"""The workflow graph, spec version 1: what is stored in a version, checked by `validate`, and run by the engine."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from shared.kit.json import JsonObject
from shared.workflow.bodies import body_of
from shared.workflow.texts import Cel

# Ids are CEL identifiers, so that `nodes.<id>.output` can be written.
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
MAX_NODES = 500
MAX_EDGES = 2000
# How deep bodies may stand within one another.
MAX_NESTING = 5

Identifier = Annotated[str, StringConstraints(pattern=rf"^{IDENTIFIER.pattern}$")]


class GraphPart(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class Retry(GraphPart):
    """Up to `max` further attempts. The wait starts at `backoff_ms` and doubles, a minute at most."""

    max: int = Field(ge=0, le=10)
    backoff_ms: int = Field(default=1000, ge=0, le=60_000)


class Node(GraphPart):
    """`config` is what the node's type asks for (see `GET /node-types`); `ui` belongs to the canvas alone.
    `timeout_ms` is the time of one attempt while a worker has it; of a map or a loop, that of the whole since it began,
    looked at whenever a worker has it."""

    id: Identifier
    type: str = Field(min_length=1, max_length=64)
    name: str = Field(default="", max_length=200)
    config: JsonObject = Field(default_factory=dict)
    retry: Retry | None = None
    timeout_ms: int | None = Field(default=None, ge=1, le=24 * 3600 * 1000)
    ui: JsonObject = Field(default_factory=dict)


class Edge(GraphPart):
    """Leads from one node to another, once the first succeeded, if `when` holds.

    `port` is the way by which it leaves: a case of a `condition`, `approved` or `rejected` of an `approval`.
    Without one it leads on whichever way was taken.
    """

    source: Identifier = Field(alias="from")
    target: Identifier = Field(alias="to")
    when: Cel | None = None
    port: str | None = Field(default=None, max_length=64)


class Body(GraphPart):
    """The graph within a map or a loop. `output` is what a passage through it gives; without one, it is found as for
    a graph without `outputs`."""

    nodes: tuple[Node, ...] = Field(min_length=1, max_length=MAX_NODES)
    edges: tuple[Edge, ...] = Field(default=(), max_length=MAX_EDGES)
    output: Cel | None = None


class Graph(GraphPart):
    """`inputs` is a JSON Schema of an object; `outputs` are CEL expressions over `nodes.<id>.output` and `inputs`.

    Without `outputs`, the output is what `output` nodes gather, else the outputs of the last nodes, by id.
    """

    spec: Literal[1] = 1
    inputs: JsonObject = Field(default_factory=lambda: {"type": "object"})
    nodes: tuple[Node, ...] = Field(max_length=MAX_NODES)
    edges: tuple[Edge, ...] = Field(default=(), max_length=MAX_EDGES)
    outputs: dict[Identifier, Cel] = Field(default_factory=dict)

    @field_validator("nodes")
    @classmethod
    def _has_nodes(cls, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        if not nodes:
            raise ValueError("a workflow needs at least one node")
        return nodes

    def dump(self) -> JsonObject:
        """The graph as JSON, as it is stored and as `Graph.model_validate` takes it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def all_nodes(self) -> Iterator[Node]:
        """Those in bodies included, as far as these are well formed."""
        return (node for _, node in self.all_homes())

    def all_homes(self) -> Iterator[tuple[str | None, Node]]:
        """The same, each with the id of the node in whose body it is."""
        return _with_inner(self.nodes, None, 0)

    def node(self, node_id: str) -> Node | None:
        return next((node for node in self.nodes if node.id == node_id), None)


def _with_inner(nodes: Iterable[Node], home: str | None, depth: int) -> Iterator[tuple[str | None, Node]]:
    for node in nodes:
        yield home, node
        body = body_of({"type": node.type, "config": node.config}) if depth < MAX_NESTING else None
        if body is not None:
            with suppress(ValidationError):
                yield from _with_inner(Body.model_validate(body).nodes, node.id, depth + 1)


def upstream(edges: Iterable[Edge]) -> dict[str, set[str]]:
    """For every node that has any: the nodes that come before it, near and far. Cycles do no harm."""
    parents: dict[str, set[str]] = {}
    for edge in edges:
        parents.setdefault(edge.target, set()).add(edge.source)
    return {node: _ancestors(node, parents) for node in parents}


def _ancestors(node: str, parents: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [node]
    while todo:
        for parent in parents.get(todo.pop(), ()):
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found
