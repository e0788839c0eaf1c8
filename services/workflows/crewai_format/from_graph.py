"""A workflow graph as a crew, as far as crews go, with a report of what they cannot say."""

from collections.abc import Mapping
from uuid import UUID

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.export_agents import AgentExport, PoolAgent
from services.workflows.crewai_format.export_tasks import TaskExport, TaskNode
from services.workflows.crewai_format.names import PoolModel
from services.workflows.crewai_format.project import CrewProject, Process
from services.workflows.crewai_format.report import Code, Item, Report
from services.workflows.crewai_format.to_graph import inputs_schema
from shared.kit.json import Json, JsonObject
from shared.workflow.graph import Graph, Node, upstream

_TASK_TYPES = ("crew", "agent_task")


def project_from_graph(
    name: str, graph: Graph, agents: Mapping[UUID, PoolAgent], models: Mapping[UUID, PoolModel], report: Report
) -> CrewProject:
    """Several crews and agent tasks become one crew whose tasks run in the graph's order.

    Raises `ProjectError` when the graph has nothing a crew could do, or refers to what is not there.
    """
    nodes = [TaskNode.of(node) for node in _in_order(graph) if node.type in _TASK_TYPES]
    if not nodes:
        raise ProjectError(Fault("the workflow has no crew and no agent task that a crewAI project could hold"))
    process, manager_id, manager_model_id = _leadership(nodes, report)
    crew_agents = AgentExport([i for node in nodes for i in node.agent_ids], manager_id, agents, report)
    project = CrewProject(
        name=name,
        agents=crew_agents.members(),
        tasks=TaskExport(nodes, crew_agents.keys, report).tasks(),
        process=process,
        manager=crew_agents.manager(),
        manager_llm=_manager_llm(manager_model_id, models),
        inputs=_defaults(graph.inputs),
    )
    _report_losses(graph, project, report)
    return project


def _in_order(graph: Graph) -> list[Node]:
    """Whatever comes before a node has fewer nodes before it."""
    before = upstream(graph.edges)
    return sorted(graph.nodes, key=lambda node: len(before.get(node.id, ())))


def _leadership(nodes: list[TaskNode], report: Report) -> tuple[Process, UUID | None, UUID | None]:
    """A manager can be said only for a crew that is the whole workflow."""
    first = nodes[0]
    if len(nodes) == 1:
        return first.process, first.manager_agent_id, first.manager_model_id
    for node in nodes:
        if node.process is Process.HIERARCHICAL:
            why = "left out: several nodes make one crew, whose tasks run in order"
            report.ignored.append(Item(Code.UNSUPPORTED, f"nodes.{node.id}.process", why))
    return Process.SEQUENTIAL, None, None


def _manager_llm(model_id: UUID | None, models: Mapping[UUID, PoolModel]) -> str | None:
    if model_id is None:
        return None
    if model_id not in models:
        raise ProjectError(Fault(f"the workflow refers to the model {model_id}, which is not there"))
    return models[model_id].llm_name


def _defaults(schema: JsonObject) -> dict[str, Json]:
    return {name: prop["default"] for name, prop in _properties(schema).items() if prop.get("default") is not None}


def _properties(schema: JsonObject) -> dict[str, JsonObject]:
    properties: Json = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: prop for name, prop in properties.items() if isinstance(prop, dict)}


def _report_losses(graph: Graph, project: CrewProject, report: Report) -> None:
    losses = [*_node_losses(graph), *_edge_losses(graph), *_input_losses(graph, project), *_output_losses(graph)]
    report.ignored += [Item(Code.UNSUPPORTED, where, f"left out: {why}") for where, why in losses]


def _node_losses(graph: Graph) -> list[tuple[str, str]]:
    losses: list[tuple[str, str]] = []
    for node in graph.nodes:
        where = f"nodes.{node.id}"
        if node.type not in _TASK_TYPES:
            losses.append((where, f"a crew has no step of the type '{node.type}'"))
            continue
        if node.retry is not None:
            losses.append((f"{where}.retry", "a crew's tasks have no retries"))
        if node.timeout_ms is not None:
            losses.append((f"{where}.timeout_ms", "a crew's tasks have no time limit"))
    return losses


def _edge_losses(graph: Graph) -> list[tuple[str, str]]:
    return [
        (f"edges.{index}", "a crew's tasks always run, in order")
        for index, edge in enumerate(graph.edges)
        if edge.when is not None or edge.port is not None
    ]


def _input_losses(graph: Graph, project: CrewProject) -> list[tuple[str, str]]:
    if graph.inputs == inputs_schema(project):
        return []
    return [("inputs", "a crew knows its inputs by name and default alone; the rest of their schema")]


def _output_losses(graph: Graph) -> list[tuple[str, str]]:
    plain = {f"nodes.{node.id}.output.{part}" for node in graph.nodes for part in ("text", "data")}
    return [
        (f"outputs.{name}", "a crew's result is that of its last task")
        for name, source in graph.outputs.items()
        if source not in plain
    ]
