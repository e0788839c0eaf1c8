import time
from typing import Any
from uuid import UUID

import pytest

from shared.kit.json import JsonObject
from shared.workflow.graph import Graph, upstream
from shared.workflow.validate import Problem, References, Severity, validate_graph, validate_inputs

AGENT = UUID(int=1)
MODEL = UUID(int=2)
BASE = UUID(int=3)
NOBODY = UUID(int=9)
REFERENCES = References(agents={AGENT: MODEL}, models={MODEL}, knowledge_bases={BASE})


def task(id_: str = "a", **config: Any) -> JsonObject:
    given = {"agent_id": str(AGENT), "description": "do it", "expected_output": "text", **config}
    return {"id": id_, "type": "agent_task", "config": given}


def transform(id_: str, expression: str = "1") -> JsonObject:
    return {"id": id_, "type": "transform", "config": {"expression": expression}}


def condition(id_: str = "c", when: str = "true") -> JsonObject:
    return {"id": id_, "type": "condition", "config": {"cases": [{"name": "yes", "when": when}], "default": "no"}}


def crew(**config: Any) -> JsonObject:
    one = {"name": "t", "description": "d", "expected_output": "e", "agent_id": str(AGENT)}
    return {"id": "k", "type": "crew", "config": {"agent_ids": [str(AGENT)], "tasks": [one], **config}}


def graph(*nodes: JsonObject, edges: Any = (), **more: Any) -> JsonObject:
    edges = [e if isinstance(e, dict) else {"from": e[0], "to": e[1]} for e in edges]
    return {"spec": 1, "nodes": list(nodes), "edges": edges, **more}


def problems(found: JsonObject, references: References = REFERENCES) -> list[Problem]:
    return validate_graph(found, references)


def only(found: JsonObject, references: References = REFERENCES) -> Problem:
    (problem,) = problems(found, references)
    return problem


def test_tools_and_requests() -> None:
    known = References(tools={"look"}, connections={BASE})
    look = {"id": "t", "type": "tool", "config": {"tool": "look", "arguments": {"n": "inputs.n"}}}
    ask = {
        "id": "h",
        "type": "http",
        "config": {"url": "https://x/{{ nodes.t.output.text }}", "connection_id": str(BASE)},
    }
    both = graph(look, ask, edges=[("t", "h")])
    assert problems(both, known) == []
    assert {(p.node, p.field, p.code) for p in problems(both, References())} == {
        ("t", "tool", "tool_unknown"),
        ("h", "connection_id", "connection_unknown"),
    }
    gone = References(agents={AGENT: MODEL}, models={MODEL}, missing_tools={AGENT: ("gone",)})
    found = only(graph(task()), gone)
    assert (found.node, found.field, found.code) == ("a", "agent_id", "tool_missing")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": "{{ 1 + }}"}, "url"),
        ({"url": "x", "headers": {"X-A": "{{ nodes.no.output }}"}}, "headers.X-A"),
        ({"url": "x", "headers": {"Host": "y"}}, "headers.Host"),
        ({"url": "x", "query": {"q": "{{ inputs.n"}}, "query.q"),
        ({"url": "x", "method": "POST", "json": "1 +"}, "json"),
        ({"url": "x", "method": "POST", "json": "1", "body": "2"}, None),
        ({"url": "x", "json": "1"}, None),
        ({"url": "x", "method": "TRACE"}, "method"),
        ({"url": "x", "effect": "twice"}, "effect"),
        ({"url": "x", "timeout_ms": 0}, "timeout_ms"),
        ({"url": "x", "max_bytes": 10**9}, "max_bytes"),
        ({"url": "x", "json_value": "1"}, "json_value"),
    ],
)
def test_a_request_that_cannot_be_made_names_its_field(config: JsonObject, field: str | None) -> None:
    found = only(graph({"id": "h", "type": "http", "config": config}))
    assert (found.node, found.field, found.severity) == ("h", field, Severity.ERROR)


def test_a_sound_graph_has_no_problems() -> None:
    sound = graph(
        task("research", description="About {{ inputs.topic }}"),
        condition("long", "size(nodes.research.output.text) > 100"),
        transform("shorten", "nodes.research.output.text"),
        crew(),
        {
            "id": "find",
            "type": "knowledge_search",
            "config": {"knowledge_base_ids": [str(BASE)], "query": "{{ inputs.topic }}"},
        },
        {"id": "end", "type": "output", "config": {"values": {"v": "nodes.shorten.output"}}},
        edges=[
            ("research", "long"),
            {"from": "long", "to": "shorten", "port": "yes"},
            {"from": "long", "to": "end", "port": "no", "when": "nodes.research.output.text != ''"},
            ("shorten", "end"),
            ("find", "end"),
            ("k", "end"),
        ],
        inputs={"type": "object", "properties": {"topic": {"type": "string", "default": "bees"}}},
        outputs={"all": "nodes.end.output", "who": "execution.id"},
    )
    assert problems(sound) == []


# --- form -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "node", "field", "part"),
    [
        ({}, None, "nodes", "required"),
        (graph(task(), spec=2), None, "spec", "1"),
        (graph(), None, "nodes", "at least one node"),
        (graph({**task(), "id": "my-node"}), "my-node", "id", "letters, digits and _"),
        (graph({**task(), "id": "a" * 65}), "a" * 65, "id", "at most 64"),
        (graph({**task(), "colour": 1}), "a", "colour", "no such field"),
        (graph({"id": "a"}), "a", "type", "required"),
        (graph({**task(), "retry": {"max": 99}}), "a", "retry.max", "10"),
        (graph({**task(), "timeout_ms": 0}), "a", "timeout_ms", "1"),
        (graph(task(), edges=[{"from": "a"}]), None, "edges.0.to", "required"),
        (graph(task(), outputs={"a b": "1"}), None, "outputs.a b", "letters"),
        ({"nodes": [3]}, "#0", None, "must be an object"),
    ],
)
def test_what_is_wrong_with_the_form(broken: JsonObject, node: str | None, field: str | None, part: str) -> None:
    problem = only(broken)
    assert (problem.code, problem.node, problem.field) == ("graph_invalid", node, field)
    assert part in problem.message


def test_node_types_and_configs() -> None:
    problem = only(graph({"id": "x", "type": "teleport"}))
    assert (problem.code, problem.node, problem.field) == ("node_type_unknown", "x", "type")
    assert "agent_task, crew, knowledge_search" in problem.message
    problem = only(graph(task(colour="red")))
    assert (problem.code, problem.node, problem.field) == ("config_invalid", "a", "colour")
    assert problem.message == "node 'a', colour: there is no such field"


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"process": "hierarchical"}, "needs one manager"),
        ({"process": "hierarchical", "manager_agent_id": str(NOBODY), "manager_model_id": str(MODEL)}, "one manager"),
        ({"manager_model_id": str(MODEL)}, "has no manager"),
        ({"process": "hierarchical", "manager_agent_id": str(AGENT)}, "must not be one of agent_ids"),
        ({"tasks": [{"name": "t", "description": "d", "expected_output": "e"}]}, "task 't' has no agent"),
        (
            {"tasks": [{"name": "t", "description": "d", "expected_output": "e", "agent_id": str(NOBODY)}]},
            "not in agent_ids",
        ),
        (
            {"tasks": [{"name": "t", "description": "d", "expected_output": "e", "agent_id": str(AGENT)}] * 2},
            "two tasks are named 't'",
        ),
        (
            {
                "tasks": [
                    {
                        "name": "t",
                        "description": "d",
                        "expected_output": "e",
                        "agent_id": str(AGENT),
                        "context": ["later"],
                    }
                ]
            },
            "'later', which is no earlier task",
        ),
    ],
)
def test_crews_hold_together(config: JsonObject, part: str) -> None:
    problem = only(graph(crew(**config)))
    assert (problem.code, problem.node) == ("config_invalid", "k")
    assert part in problem.message


def test_a_hierarchical_crew_may_leave_its_tasks_to_the_manager() -> None:
    tasks = [{"name": "t", "description": "d", "expected_output": "e"}]
    assert problems(graph(crew(process="hierarchical", manager_model_id=str(MODEL), tasks=tasks))) == []


def test_conditions_and_transforms_hold_together() -> None:
    twice = {"cases": [{"name": "x", "when": "true"}], "default": "x"}
    assert "same name" in only(graph({"id": "c", "type": "condition", "config": twice})).message
    both = {"id": "t", "type": "transform", "config": {"expression": "1", "template": "x"}}
    assert "either expression or template" in only(graph(both)).message
    assert "either expression or template" in only(graph({**both, "config": {}})).message


# --- shape ----------------------------------------------------------------------------------------------------


def test_duplicate_ids() -> None:
    problem = only(graph(transform("a"), transform("a"), transform("b"), edges=[("a", "b")]))
    assert (problem.code, problem.node, problem.field) == ("node_duplicate", "a", "id")


def test_edges_must_lead_from_node_to_node() -> None:
    found = problems(graph(transform("a"), edges=[("a", "b"), ("x", "a")]))
    assert [(p.code, p.field) for p in found] == [("edge_invalid", "edges.0.to"), ("edge_invalid", "edges.1.from")]


def test_a_cycle_is_named() -> None:
    nodes = [transform(name) for name in "abcd"]
    problem = only(graph(*nodes, edges=[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]))
    assert problem.code == "cycle"
    assert any(f"{path}. " in problem.message for path in ("b -> c -> d -> b", "c -> d -> b -> c", "d -> b -> c -> d"))
    assert only(graph(transform("a"), edges=[("a", "a")])).message.startswith("nodes run in a circle: a -> a.")


def test_ports() -> None:
    to = transform("t")
    unknown = graph(condition(), to, edges=[{"from": "c", "to": "t", "port": "maybe"}])
    assert [p.code for p in problems(unknown)] == ["port_unknown", "node_unreachable"]
    assert "it has yes, no" in problems(unknown)[0].message
    elsewhere = only(graph(transform("a"), to, edges=[{"from": "a", "to": "t", "port": "yes"}]))
    assert (elsewhere.code, elsewhere.field) == ("port_unknown", "edges.0.port")


def test_nodes_that_can_never_be_reached() -> None:
    found = graph(
        transform("a"), transform("b"), transform("c"), edges=[{"from": "a", "to": "b", "when": "false"}, ("b", "c")]
    )
    assert [(p.code, p.node) for p in problems(found)] == [("node_unreachable", "b"), ("node_unreachable", "c")]


def test_an_unconnected_node_is_worth_a_warning() -> None:
    problem = only(graph(transform("a"), transform("b"), transform("lone"), edges=[("a", "b")]))
    assert (problem.severity, problem.code, problem.node) == (Severity.WARNING, "node_unconnected", "lone")
    assert problems(graph(transform("alone"))) == []


# --- references -----------------------------------------------------------------------------------------------


def test_agents_models_and_knowledge_bases_must_exist() -> None:
    assert only(graph(task(agent_id=str(NOBODY)))).code == "agent_unknown"
    manager = crew(process="hierarchical", manager_model_id=str(NOBODY))
    problem = only(graph(manager))
    assert (problem.code, problem.field) == ("model_unknown", "manager_model_id")
    search = {"knowledge_base_ids": [str(BASE), str(NOBODY)], "query": "q"}
    problem = only(graph({"id": "s", "type": "knowledge_search", "config": search}))
    assert (problem.code, problem.field) == ("knowledge_base_unknown", "knowledge_base_ids.1")


def test_agents_must_have_a_model_that_exists() -> None:
    problem = only(graph(task()), References(agents={AGENT: None}))
    assert (problem.code, problem.node, problem.field) == ("model_missing", "a", "agent_id")
    assert "has no model" in problem.message
    assert only(graph(task()), References(agents={AGENT: NOBODY}, models={MODEL})).code == "model_missing"


@pytest.mark.parametrize(
    ("expression", "code", "part"),
    [
        ("nodes.zzz.output", "reference_unknown", "no node 'zzz'"),
        ("nodes.later.output", "reference_not_upstream", "does not come before"),
        ("nodes.t.output", "reference_not_upstream", "does not come before"),
        ("nodes.before.outptu", "reference_unknown", "nodes.before.output"),
        ("nodes[inputs.topic].output", "reference_unknown", "name the node"),
        ("inputs.topci", "input_unknown", "declared are: topic"),
        ("item.x", "reference_unknown", "inside a map"),
        ("execution.password", "reference_unknown", "id and created_at"),
        ("1 +", "expression_invalid", "(at character 4)"),
        ("secrets.x", "expression_invalid", "unknown name 'secrets'"),
    ],
)
def test_what_expressions_refer_to(expression: str, code: str, part: str) -> None:
    problem = only(
        graph(
            transform("before"),
            transform("t", expression),
            transform("later"),
            edges=[("before", "t"), ("t", "later")],
            inputs={"type": "object", "properties": {"topic": {"type": "string"}}},
        )
    )
    assert (problem.code, problem.node, problem.field) == (code, "t", "expression")
    assert part in problem.message


def test_references_far_upstream_are_fine() -> None:
    chain = [transform("a"), transform("b"), transform("c", "nodes.a.output")]
    assert problems(graph(*chain, edges=[("a", "b"), ("b", "c")])) == []


def test_an_edge_sees_its_source_and_what_lies_before() -> None:
    nodes = [transform("a"), transform("b"), transform("c")]
    edges = [("a", "b"), {"from": "b", "to": "c", "when": "nodes.a.output == nodes.b.output"}]
    assert problems(graph(*nodes, edges=edges)) == []
    ahead = [("a", "b"), {"from": "b", "to": "c", "when": "nodes.c.output == 1"}]
    problem = only(graph(*nodes, edges=ahead))
    assert (problem.code, problem.node, problem.field) == ("reference_not_upstream", "b", "edges.1.when")


def test_outputs_see_every_node() -> None:
    problem = only(graph(transform("a"), outputs={"x": "nodes.a.output", "y": "nodes.b.output"}))
    assert (problem.code, problem.node, problem.field) == ("reference_unknown", None, "outputs.y")


def test_templates_deep_in_a_config_are_found() -> None:
    tasks = [{"name": "t", "description": "{{ nope }}", "expected_output": "e", "agent_id": str(AGENT)}]
    assert only(graph(crew(tasks=tasks))).field == "tasks.0.description"


def test_open_inputs_let_any_name_through() -> None:
    for inputs in ({"type": "object"}, {"type": "object", "properties": {"x": {}}, "additionalProperties": True}):
        assert problems(graph(transform("a", "inputs.anything"), inputs=inputs)) == []


# --- inputs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        ({"type": "array"}, 'must be "object"'),
        ({"type": "object", "properties": {"x": {"type": "strnig"}}}, "strnig"),
        ({"type": "object", "properties": {"x": {"$ref": "https://elsewhere/x"}}}, "leaves the schema"),
        ({"type": "object", "properties": {"x": {"type": "string", "pattern": "("}}}, "not understood"),
        (
            {"type": "object", "properties": {"n": {"type": "integer", "default": "x"}}},
            "a default does not fit its own schema: inputs.n: 'x'",
        ),
    ],
)
def test_bad_schemas_of_inputs(inputs: JsonObject, part: str) -> None:
    problem = only(graph(transform("a"), inputs=inputs))
    assert problem.code == "inputs_schema_invalid"
    assert part in problem.message


def test_bad_schemas_of_outputs() -> None:
    problem = only(graph(task(output_schema={"type": "nope"})))
    assert (problem.code, problem.node, problem.field) == ("schema_invalid", "a", "output_schema")


def test_validate_inputs() -> None:
    schema = {
        "properties": {"topic": {"type": "string"}, "n": {"type": "integer", "minimum": 1}},
        "required": ["topic"],
    }
    parsed = Graph.model_validate(graph(transform("a"), inputs=schema))
    assert validate_inputs(parsed, {"topic": "x", "n": 1}) == []
    found = validate_inputs(parsed, {"n": 0})
    assert {(p.field, p.code) for p in found} == {("inputs", "input_invalid"), ("inputs.n", "input_invalid")}
    assert "'topic' is a required property" in " ".join(p.message for p in found)
    assert validate_inputs(parsed, ["no object"])[0].field == "inputs"


# --- the graph itself -----------------------------------------------------------------------------------------


def test_a_graph_survives_its_own_dump() -> None:
    edge = {"from": "a", "to": "b", "when": "true"}
    parsed = Graph.model_validate(graph(task(), transform("b"), edges=[edge]))
    assert parsed.dump()["edges"] == [edge]
    assert Graph.model_validate(parsed.dump()) == parsed


def test_upstream_reaches_far_and_stops_in_circles() -> None:
    parsed = Graph.model_validate(
        graph(*[transform(n) for n in "abcd"], edges=[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")])
    )
    assert upstream(parsed.edges) == {"b": {"a", "b", "c"}, "c": {"a", "b", "c"}, "d": {"a", "b", "c"}}


# --- bounds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hostile",
    [
        graph(*[transform(f"n{i}", "[" + "1," * 1900 + f"{i}]") for i in range(300)]),
        graph(*[transform(f"n{i}", "(" * 3900 + str(i)) for i in range(300)]),
        graph(
            *[{"id": f"n{i}", "type": "transform", "config": {"template": "{{1}}" * 400 + str(i)}} for i in range(500)]
        ),
        graph(*[task(f"n{i}", output_schema={"properties": {f"p{n}": {} for n in range(999)}}) for i in range(100)]),
    ],
)
def test_a_graph_of_too_much_to_check(hostile: JsonObject) -> None:
    began = time.thread_time()
    found = problems(hostile)
    assert time.thread_time() - began < 4  # of CPU; about one in fact
    assert [p.message for p in found if p.code == "graph_too_large"] == [
        "the graph has more than 120,000 characters of expressions and schemas: split it up"
    ]


def test_only_so_many_problems_are_told() -> None:
    values = {f"v{n}": "nodes.zz.output" for n in range(100)}
    nodes = [{"id": f"n{i}", "type": "output", "config": {"values": values}} for i in range(50)]
    assert len(problems(graph(*nodes))) == 200
    assert len(problems({"nodes": [3] * 400})) == 200


APPROVAL = {"id": "ask", "type": "approval", "config": {"title": "Deploy?"}}


def test_a_choice_that_nothing_heeds_is_pointed_out() -> None:
    """A rejection would lead on as an approval does."""
    deploy = transform("deploy")
    found = only(graph(APPROVAL, deploy, edges=[("ask", "deploy")]))
    assert (found.code, found.severity, found.node) == ("port_missing", Severity.WARNING, "ask")
    heeded = {"from": "ask", "to": "deploy", "port": "approved"}
    assert problems(graph(APPROVAL, deploy, edges=[heeded])) == []
    # Something may well be meant for both.
    log = transform("log")
    assert problems(graph(APPROVAL, deploy, log, edges=[heeded, ("ask", "log")])) == []
    looked_at = {"from": "ask", "to": "deploy", "when": "nodes.ask.output.case == 'approved'"}
    assert problems(graph(APPROVAL, deploy, edges=[looked_at])) == []


def test_a_default_answer_fits_what_is_asked_for() -> None:
    def question(default: Any, schema: Any) -> JsonObject:
        config = {"question": "How many?", "answer_schema": schema, "default": default}
        return graph({"id": "q", "type": "question", "config": config})

    found = only(question("many", {"type": "integer"}))
    assert (found.code, found.node, found.field) == ("default_invalid", "q", "default")
    assert found.message == "node 'q', default: it does not fit answer_schema: default: 'many' is not of type 'integer'"
    inner = only(question({"n": "many"}, {"type": "object", "properties": {"n": {"type": "integer"}}}))
    assert inner.field == "default.n"
    assert problems(question(3, {"type": "integer"})) == []
    assert only(question(3, {"type": "strng"})).code == "schema_invalid"


@pytest.mark.parametrize(
    ("nodes", "field", "message"),
    [
        (["x"], None, "node '#0': this must be an object"),
        ([{"type": "transform"}], "id", "node '#0', id: this field is required"),
    ],
)
def test_what_is_no_node_is_said_in_plain_words(nodes: Any, field: str | None, message: str) -> None:
    found = only({"spec": 1, "nodes": nodes, "edges": []})
    assert (found.field, found.message) == (field, message)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ("x", "body", "node 'm', body: this must be an object"),
        ({"nodes": []}, "body.nodes", "node 'm', body.nodes: give at least 1"),
        ({"nodes": [{"type": "transform"}]}, "body.nodes.0.id", "node 'm', body.nodes.0.id: this field is required"),
    ],
)
def test_what_is_no_body_is_said_once_and_in_plain_words(body: Any, field: str, message: str) -> None:
    found = only(graph({"id": "m", "type": "map", "config": {"items": "[1]", "body": body}}))
    assert (found.field, found.message) == (field, message)
