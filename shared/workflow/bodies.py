"""Graphs within graphs, as stored: the bodies of maps and loops."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from shared.kit.json import JsonObject
from shared.workflow.cel.values import is_map

WITH_BODY = ("map", "loop")

_SEGMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\[(\d+)\]")


def deeper(path: str, container: str, index: int) -> str:
    """The path of a step in the body of the node `container`, whose own path is `path`: `each[3]/inner[0]`."""
    place = f"{container}[{index}]"
    return f"{path}/{place}" if path else place


def segments(path: str) -> list[tuple[str, int]]:
    """`each[3]/inner[0]` as its containers and indices, the outermost first."""
    return [(node, int(index)) for node, index in _SEGMENT.findall(path)]


def body_of(node: JsonObject) -> JsonObject | None:
    """The graph within a map or a loop; None for any other node, and for a body that is no graph."""
    config: Any = node.get("config")
    body: Any = config.get("body") if node.get("type") in WITH_BODY and is_map(config) else None
    return body if is_map(body) and _has_nodes(body.get("nodes")) else None


def _has_nodes(nodes: Any) -> bool:
    return isinstance(nodes, list) and all(
        is_map(node) and isinstance(node.get("id"), str) and isinstance(node.get("type"), str)
        for node in nodes  # pyright: ignore[reportUnknownVariableType]
    )


def config_of(node: JsonObject) -> JsonObject:
    """What the node is told. In a body as it was sent, none may be given."""
    config: Any = node.get("config")
    return config if is_map(config) else {}


def every_node(graph: JsonObject) -> Iterator[JsonObject]:
    """The nodes of a graph that is well formed, those in bodies included."""
    for node in graph["nodes"]:
        yield node
        body = body_of(node)
        if body is not None:
            yield from every_node(body)


def with_nodes(graph: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """A copy of the graph in which every node, those in bodies included, is what `change` makes of it."""
    return {**graph, "nodes": [_changed(node, change) for node in graph["nodes"]]}


def _changed(node: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    changed = change(node)
    body = body_of(changed)
    if body is None:
        return changed
    return {**changed, "config": {**changed["config"], "body": with_nodes(body, change)}}
