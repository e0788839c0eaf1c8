"""Workflows within workflows: what a snapshot holds of them, and what an execution of one is made of.

`spec["workflows"]` has every workflow that an execution can come to start, however far down, as `<id>@<version>`. Each
has the shape of a spec, with the texts of its agents not yet rendered: its inputs are known when it is started.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from shared.kit.json import JsonObject
from shared.workflow.agent_texts import AgentTextError, render_agents
from shared.workflow.bodies import every_node
from shared.workflow.graph import Graph
from shared.workflow.inputs import with_defaults
from shared.workflow.problems import Problem, error
from shared.workflow.validate import validate_inputs

SUB_WORKFLOW = "sub_workflow"
# How many executions may be above one.
MAX_DEPTH = 5


class ChildInvalid(Exception):
    """These inputs do not fit the workflow that is to be started with them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(problem.message for problem in problems))


def workflow_key(workflow_id: object, version: int) -> str:
    return f"{workflow_id}@{version}"


def sub_workflow_nodes(graph: JsonObject) -> Iterator[JsonObject]:
    """The nodes that start other workflows, those in bodies included."""
    return (node for node in every_node(graph) if node["type"] == SUB_WORKFLOW)


def child_of(spec: JsonObject, key: str, inputs: JsonObject) -> tuple[JsonObject, JsonObject]:
    """The spec and the inputs, defaults filled in, of an execution that one of `spec` starts.

    Raises `KeyError` when the snapshot has no such workflow, and `ChildInvalid`.
    """
    workflows: JsonObject = spec["workflows"]
    child: JsonObject = workflows[key]
    graph = Graph.model_validate(child["graph"])
    filled = with_defaults(graph.inputs, inputs)
    problems = validate_inputs(graph, filled)
    if problems:
        raise ChildInvalid(problems)
    try:
        agents = render_agents(child["agents"], filled)
    except AgentTextError as broken:
        raise ChildInvalid([error("agent_text_invalid", broken.message, field="inputs")]) from None
    return {**child, "agents": agents, "workflows": _below(workflows, child["graph"])}, filled


def _below(workflows: JsonObject, graph: JsonObject) -> JsonObject:
    """Of all workflows those that this graph can come to start."""
    found: dict[str, Any] = {}
    todo = [graph]
    while todo:
        for node in sub_workflow_nodes(todo.pop()):
            key = workflow_key(node["config"]["workflow_id"], node["config"]["version"])
            if key not in found and key in workflows:
                found[key] = workflows[key]
                todo.append(workflows[key]["graph"])
    return found
