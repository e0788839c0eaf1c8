"""Whether nodes and edges make a graph that can be run from its beginnings to its ends."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from shared.workflow.graph import Body, Edge, Graph, Node
from shared.workflow.problems import Problem, error, warning

Ports = Mapping[str, Sequence[str]]


def check_shape(graph: Graph | Body, ports: Ports) -> Iterator[Problem]:
    """`ports` has the port names of every node whose config is in order."""
    ids = {node.id for node in graph.nodes}
    yield from _check_ends(graph, ids)
    edges = [edge for edge in graph.edges if edge.source in ids and edge.target in ids]
    yield from _check_ports(graph, ports)
    cycle = find_cycle(edges)
    if cycle:
        path = " -> ".join([*cycle, cycle[0]])
        yield error("cycle", f"nodes run in a circle: {path}. Remove one of these edges", node=cycle[0], field="edges")
    else:
        yield from _check_reachable(graph, edges, ports)


def check_ids(nodes: Iterable[Node]) -> Iterator[Problem]:
    """Of a whole graph, bodies and all: expressions and records name nodes by id alone."""
    seen: set[str] = set()
    for node in nodes:
        if node.id in seen:
            yield error("node_duplicate", f"two nodes have the id {node.id!r}: rename one", node=node.id, field="id")
        seen.add(node.id)


def _check_ends(graph: Graph | Body, ids: set[str]) -> Iterator[Problem]:
    for index, edge in enumerate(graph.edges):
        for end, node in (("from", edge.source), ("to", edge.target)):
            if node not in ids:
                message = f"edge {edge.source} -> {edge.target}: there is no node {node!r}"
                yield error("edge_invalid", message, field=f"edges.{index}.{end}")


def _check_ports(graph: Graph | Body, ports: Ports) -> Iterator[Problem]:
    for index, edge in enumerate(graph.edges):
        if edge.port is None or edge.source not in ports:
            continue
        field = f"edges.{index}.port"
        known = ports[edge.source]
        if not known:
            message = f"node {edge.source!r} has no ports: remove the port from the edge"
            yield error("port_unknown", message, node=edge.source, field=field)
        elif edge.port not in known:
            message = f"node {edge.source!r} has no case {edge.port!r}; it has {', '.join(known)}"
            yield error("port_unknown", message, node=edge.source, field=field)
    yield from _check_ways(graph, ports)


def _check_ways(graph: Graph | Body, ports: Ports) -> Iterator[Problem]:
    """A node that chooses a way, with nothing that heeds the choice: as a rule the ports were forgotten."""
    leaving: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        leaving.setdefault(edge.source, []).append(edge)
    for node, edges in leaving.items():
        if ports.get(node) and all(edge.port is None and edge.when is None for edge in edges):
            message = (
                f"node {node!r}: what follows runs whichever of {', '.join(ports[node])} it comes to: "
                "name one as the port of an edge"
            )
            yield warning("port_missing", message, node=node)


def find_cycle(edges: Sequence[Edge]) -> list[str] | None:
    """The nodes of one cycle in order, if there is any."""
    following: dict[str, list[str]] = {}
    incoming: dict[str, int] = {}
    for edge in edges:
        following.setdefault(edge.source, []).append(edge.target)
        incoming[edge.target] = incoming.get(edge.target, 0) + 1
        incoming.setdefault(edge.source, 0)
    ready = [node for node, count in incoming.items() if count == 0]
    while ready:
        node = ready.pop()
        del incoming[node]
        for target in following.get(node, ()):
            incoming[target] -= 1
            if incoming[target] == 0:
                ready.append(target)
    return _walk_back(edges, incoming.keys()) if incoming else None


def _walk_back(edges: Sequence[Edge], stuck: Collection[str]) -> list[str]:
    """Every stuck node has a stuck predecessor: following them back must come round."""
    before = {edge.target: edge.source for edge in edges if edge.source in stuck and edge.target in stuck}
    node = next(iter(before))
    seen: list[str] = []
    while node not in seen:
        seen.append(node)
        node = before[node]
    return seen[seen.index(node) :][::-1]


def _check_reachable(graph: Graph | Body, edges: Sequence[Edge], ports: Ports) -> Iterator[Problem]:
    targets = {edge.target for edge in edges}
    touched = targets | {edge.source for edge in edges}
    reached = {node.id for node in graph.nodes if node.id not in targets}
    todo = list(reached)
    following: dict[str, list[str]] = {}
    for edge in edges:
        if _may_be_taken(edge, ports):
            following.setdefault(edge.source, []).append(edge.target)
    while todo:
        new = [target for target in following.get(todo.pop(), ()) if target not in reached]
        reached.update(new)
        todo += new
    for node in graph.nodes:
        if node.id not in reached:
            message = f"node {node.id!r} can never be reached: no edge to it can ever be taken"
            yield error("node_unreachable", message, node=node.id)
        elif node.id not in touched and len(graph.nodes) > 1:
            message = f"node {node.id!r} is not connected: it runs on its own as soon as the workflow starts"
            yield warning("node_unconnected", message, node=node.id)


def _may_be_taken(edge: Edge, ports: Ports) -> bool:
    if edge.when is not None and edge.when.strip() == "false":
        return False
    return edge.port is None or not ports.get(edge.source) or edge.port in ports[edge.source]
