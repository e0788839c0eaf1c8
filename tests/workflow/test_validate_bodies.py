"""Bodies: what their expressions may read, where their problems are told, how far they may go."""

from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from shared.kit.json import JsonObject
from shared.workflow.graph import MAX_NODES, Graph
from shared.workflow.validate import Problem, References, validate_graph

AGENT = UUID(int=1)
MODEL = UUID(int=2)
KNOWN = References(agents={AGENT: MODEL}, models={MODEL})


def transform(id_: str, expression: str = "1") -> JsonObject:
    return {"id": id_, "type": "transform", "config": {"expression": expression}}


def each(id_: str, *nodes: JsonObject, items: str = "[1]", output: str | None = None, **more: Any) -> JsonObject:
    body = {"nodes": list(nodes), "edges": more.pop("edges", []), "output": output}
    return {"id": id_, "type": "map", "config": {"items": items, "body": body}, **more}


def loop(id_: str, *nodes: JsonObject, until: str = "true", **more: Any) -> JsonObject:
    return {"id": id_, "type": "loop", "config": {"until": until, "body": {"nodes": list(nodes), **more}}}


def problems(*nodes: JsonObject, **more: Any) -> list[Problem]:
    return validate_graph({"nodes": list(nodes), **more}, KNOWN)


def told(found: list[Problem]) -> list[tuple[str, str | None, str | None]]:
    return [(each.code, each.node, each.field) for each in found]


def chain(*ids: str) -> list[JsonObject]:
    return [{"from": one, "to": other} for one, other in pairwise(ids)]


def test_what_a_body_may_read() -> None:
    inner = each(
        "inner",
        transform("c", "[item, iteration.index, nodes.a.output, nodes.b.output, inputs.x, execution.id]"),
        items="nodes.b.output + [item]",
        output="nodes.c.output",
    )
    again = loop(
        "again",
        transform("d", "[iteration.previous, iteration.index, item]"),
        until="nodes.d.output[1] > 3 && nodes.b.output != null && iteration.previous == null",
        output="nodes.d.output",
    )
    outer = each("outer", transform("b", "nodes.a.output"), inner, again, edges=chain("b", "inner", "again"))
    found = problems(
        transform("a"),
        outer,
        transform("z", "nodes.outer.output.items"),
        edges=chain("a", "outer", "z"),
        inputs={"type": "object", "properties": {"x": {}}},
        outputs={"all": "nodes.outer.output"},
    )
    assert found == []


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("nodes.later.output", "reference_not_upstream"),
        ("nodes.beside.output", "reference_not_upstream"),
        ("nodes.elsewhere.output", "reference_not_upstream"),
        ("nodes.nowhere.output", "reference_unknown"),
        ("nodes.m.output", "reference_not_upstream"),
        ("iteration.previous", "reference_unknown"),
        ("iteration.number", "reference_unknown"),
        ("inputs.y", "input_unknown"),
    ],
)
def test_what_a_body_may_not_read(expression: str, code: str) -> None:
    found = problems(
        each("m", transform("t", expression), transform("beside"), edges=chain("t", "beside")),
        transform("later"),
        each("other", transform("elsewhere")),
        edges=chain("m", "later", "other"),
        inputs={"type": "object", "properties": {"x": {}}},
    )
    assert told(found) == [(code, "t", "expression")]


@pytest.mark.parametrize("expression", ["item", "iteration.index", "nodes.t.output"])
def test_what_is_of_a_body_is_not_there_outside(expression: str) -> None:
    found = problems(each("m", transform("t")), transform("after", expression), edges=chain("m", "after"))
    assert [(each.node, each.field) for each in found] == [("after", "expression")]


def test_a_loop_alone_has_no_item() -> None:
    assert told(problems(loop("l", transform("t", "item")))) == [("reference_unknown", "t", "expression")]


def test_problems_of_bodies_name_node_and_field() -> None:
    edges = [
        {"from": "a", "to": "b", "when": "nodes.x"},
        {"from": "a", "to": "b", "port": "p"},
        {"from": "a", "to": "nobody"},
    ]
    found = problems(each("m", transform("a"), transform("b"), edges=edges, output="nodes.x.output"))
    assert set(told(found)) == {
        ("edge_invalid", "m", "body.edges.2.to"),
        ("port_unknown", "m", "body.edges.1.port"),
        ("reference_unknown", "m", "body.edges.0.when"),
        ("reference_unknown", "m", "body.output"),
    }


def test_a_circle_in_a_body() -> None:
    found = problems(each("m", transform("a"), transform("b"), edges=chain("a", "b", "a")))
    assert told(found) == [("cycle", "m", "body.edges")]


def test_configs_in_bodies_are_checked() -> None:
    found = problems(each("m", {"id": "t", "type": "transform", "config": {}}, {"id": "u", "type": "nothing"}))
    assert [(each.code, each.node) for each in found if each.code != "node_unconnected"] == [
        ("config_invalid", "t"),
        ("node_type_unknown", "u"),
    ]


def test_a_body_that_is_none() -> None:
    node = {"id": "m", "type": "map", "config": {"items": "[1]", "body": {"nodes": [{"id": "0"}]}}}
    assert {(each.node, each.field) for each in problems(node)} >= {
        ("m", "body.nodes.0.id"),
        ("m", "body.nodes.0.type"),
    }


def test_ids_are_unique_over_all_bodies() -> None:
    found = problems(each("m", transform("t")), each("n", transform("t")))
    assert ("node_duplicate", "t", "id") in told(found)


def test_how_deep_bodies_may_be_nested() -> None:
    node = transform("t")
    for depth in range(5):
        node = each(f"m{depth}", node)
    assert problems(node) == []
    assert told(problems(each("m5", node)))[0] == ("nesting_too_deep", "m0", "body")


def test_nodes_in_bodies_count() -> None:
    half = MAX_NODES // 2
    found = problems(each("m", *(transform(f"a{n}") for n in range(half))), *(transform(f"b{n}") for n in range(half)))
    assert "graph_too_large" in {each.code for each in found}


def test_a_map_is_not_tried_again_as_a_whole() -> None:
    found = problems(each("m", transform("t"), retry={"max": 1}))
    assert told(found) == [("retry_refused", "m", "retry")]


def test_ports_of_an_approval() -> None:
    ask = {"id": "ask", "type": "approval", "config": {"title": "?"}}
    edges = [{"from": "ask", "to": "a", "port": "approved"}, {"from": "ask", "to": "b", "port": "perhaps"}]
    found = problems(ask, transform("a"), transform("b"), edges=edges)
    assert ("port_unknown", "ask", "edges.1.port") in told(found)


def test_a_port_on_a_node_that_has_none() -> None:
    found = problems(transform("a"), transform("b"), edges=[{"from": "a", "to": "b", "port": "x"}])
    assert told(found) == [("port_unknown", "a", "edges.0.port")]


@pytest.mark.parametrize(
    ("type_", "config", "field"),
    [
        ("delay", {}, None),
        ("delay", {"for_ms": 1, "until": "x"}, None),
        ("question", {"question": "?", "choices": ["a"], "default": "b"}, None),
        ("question", {"question": "?", "choices": ["a"], "answer_schema": {}}, None),
        ("approval", {"title": "?", "assignee": {}}, "assignee"),
        (
            "approval",
            {"title": "?", "expires_in_ms": 5, "escalate": {"after_ms": 5, "assignee": {"role": "admin"}}},
            None,
        ),
        ("map", {"items": "[]", "max_failures": 1, "body": {"nodes": [transform("t")]}}, None),
        ("loop", {"until": "true", "max_iterations": 1001, "body": {"nodes": [transform("t")]}}, "max_iterations"),
    ],
)
def test_configs_that_do_not_hold_together(type_: str, config: JsonObject, field: str | None) -> None:
    assert told(problems({"id": "n", "type": type_, "config": config})) == [("config_invalid", "n", field)]


def test_all_nodes_of_a_graph() -> None:
    graph = Graph.model_validate({"nodes": [each("m", loop("l", transform("t")), transform("u")), transform("v")]})
    assert [node.id for node in graph.all_nodes()] == ["m", "l", "t", "u", "v"]
