"""A crew as agents and a graph, and a graph as a crew."""

from typing import Any
from uuid import UUID

import pytest

from services.workflows.crewai_format.bind import bind
from services.workflows.crewai_format.errors import ProjectError
from services.workflows.crewai_format.export_agents import PoolAgent
from services.workflows.crewai_format.from_graph import project_from_graph
from services.workflows.crewai_format.names import find_model, find_tool
from services.workflows.crewai_format.project import CrewAgent, CrewProject, CrewTask, Process
from services.workflows.crewai_format.read import read_project
from services.workflows.crewai_format.report import Item, Report
from services.workflows.crewai_format.to_graph import AgentDraft, Resolver, crew_graph
from shared.kit.ids import new_id
from shared.workflow.graph import Graph
from shared.workflow.validate import References, validate_graph
from tests.workflows.projects import CATALOG, GPT, LOCAL, example

A, B, M = new_id(), new_id(), new_id()


def found(items: list[Item]) -> set[tuple[str, str]]:
    return {(item.code.value, item.where) for item in items}


def made(project: CrewProject) -> tuple[list[AgentDraft], dict[str, Any], Report]:
    report = Report()
    project = bind(project, {}, report)
    resolver = Resolver(project, CATALOG, report)
    agents = resolver.agents()
    ids = {agent.key: new_id() for agent in agents}
    return agents, crew_graph(project, ids, resolver.manager_model(), report), report


def agent(key: str, **fields: Any) -> CrewAgent:
    return CrewAgent(key, fields.pop("role", "r"), "g", "b", **fields)


def task(key: str, **fields: Any) -> CrewTask:
    return CrewTask(key, fields.pop("description", "d"), "e", **fields)


def test_the_example_becomes_a_graph_that_validates() -> None:
    agents, graph, report = made(read_project(example("research_team")).project)
    assert graph["inputs"] == {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("topic", "audience", "current-year")},
        "required": ["topic", "audience", "current-year"],
    }
    crew = graph["nodes"][0]["config"]
    assert crew["tasks"][0]["description"].startswith(
        'Research {{ inputs.topic }}. The year is {{ inputs["current-year"] }}.'
    )
    assert crew["tasks"][0]["agent_id"] == crew["agent_ids"][0]
    assert "context" not in crew["tasks"][0]
    assert crew["tasks"][2]["context"] == ["research_task", "writing_task"]
    assert graph["outputs"] == {"result": "nodes.crew.output.text"}
    assert agents[0].role == "{{ inputs.topic }} researcher"
    assert {a.model_id for a in agents} == {LOCAL.id}
    ids = {UUID(i): LOCAL.id for i in crew["agent_ids"]}
    assert validate_graph(graph, References(agents=ids, models={LOCAL.id})) == []
    assert ("input", "inputs.current-year") in found(report.mapped)


def test_models_and_tools_are_looked_up_and_reported_missing() -> None:
    project = CrewProject(
        None,
        (
            agent("a", llm="openai/gpt-4.1-mini", tools=("CalculatorTool", "SerperDevTool", "Nothing")),
            agent("b", llm="openai/gpt-9"),
        ),
        (task("t", agent="a", tools=("knowledge_search", "serper_dev")), task("u", agent="b")),
    )
    agents, _, report = made(project)
    assert agents[0].model_id == GPT.id
    assert agents[0].tools == ("calculator", "serper_dev", "knowledge_search")
    assert agents[1].model_id == LOCAL.id
    assert found(report.missing) == {("tool_missing", "agents.a.tools"), ("model_missing", "agents.b.llm")}
    assert ("changed", "tasks.t.tools") in found(report.mapped)


@pytest.mark.parametrize("name", ["calculator", "Calculator", "CalculatorTool", "calculator_tool", "calculator-tool"])
def test_one_tool_has_many_names(name: str) -> None:
    assert find_tool(CATALOG.tools, name) == "calculator"


@pytest.mark.parametrize("name", ["Quick", "openai/gpt-4.1-mini", "gpt-4.1-mini"])
def test_one_model_has_several_names(name: str) -> None:
    assert find_model(CATALOG.models, name) == GPT


def test_a_hierarchical_crew_is_managed_by_a_model_or_an_agent() -> None:
    tasks = (task("t"),)
    by_model = CrewProject(None, (agent("a"),), tasks, Process.HIERARCHICAL, manager_llm="gpt-4.1-mini")
    by_agent = CrewProject(None, (agent("a"),), tasks, Process.HIERARCHICAL, manager=agent("boss"))
    assert made(by_model)[1]["nodes"][0]["config"]["manager_model_id"] == str(GPT.id)
    agents, graph, _ = made(by_agent)
    config = graph["nodes"][0]["config"]
    assert [a.key for a in agents] == ["a", "boss"]
    assert config["manager_agent_id"] not in config["agent_ids"]


def test_defaults_of_inputs_have_their_type() -> None:
    inputs = {"n": 3, "f": 0.5, "b": True, "l": [1], "o": {"k": 1}, "s": "x", "unset": None}
    graph = made(CrewProject(None, (agent("a"),), (task("t", description="{n} {unset}"),), inputs=inputs))[1]
    properties = graph["inputs"]["properties"]
    assert {name: schema["type"] for name, schema in properties.items()} == {
        "n": "integer",
        "f": "number",
        "b": "boolean",
        "l": "array",
        "o": "object",
        "s": "string",
        "unset": "string",
    }
    assert graph["inputs"]["required"] == ["unset"]


# --- and back ---------------------------------------------------------------------------------------------


def pool_agent(id: UUID, name: str, **fields: Any) -> PoolAgent:
    defaults: dict[str, Any] = {
        "role": "r",
        "goal": "g",
        "backstory": "b",
        "system_prompt": None,
        "model": GPT,
        "tools": (),
        "knowledge_base_ids": (),
        "temperature": None,
        "max_tokens": None,
        "max_iterations": 15,
        "allow_delegation": False,
    }
    return PoolAgent(id=id, name=name, **{**defaults, **fields})


POOL = {A: pool_agent(A, "a"), B: pool_agent(B, "Agent B!"), M: pool_agent(M, "m")}


def node(id: str, type: str, **config: Any) -> dict[str, Any]:
    return {"id": id, "type": type, "config": config}


def single(id: str, description: str) -> dict[str, Any]:
    return node(id, "agent_task", agent_id=str(A), description=description, expected_output="e")


def graph_of(nodes: list[dict[str, Any]], **fields: Any) -> Graph:
    return Graph.model_validate({"nodes": nodes, **fields})


def exported(graph: Graph) -> tuple[CrewProject, Report]:
    report = Report()
    return project_from_graph("W", graph, POOL, {GPT.id: GPT}, report), report


def test_agent_tasks_become_tasks_that_see_what_they_refer_to() -> None:
    nodes = [
        single("write", "Write on {{ nodes.research.output.text }} in {{ inputs.tone }}"),
        single("research", "Find {{ inputs.topic }}"),
        single("aside", "Unrelated"),
    ]
    asked = {"type": "object", "properties": {n: {"type": "string"} for n in ("topic", "tone")}}
    inputs = {**asked, "required": ["topic", "tone"]}
    project, report = exported(graph_of(nodes, inputs=inputs, edges=[{"from": "research", "to": "write"}]))
    assert [(t.key, t.context) for t in project.tasks] == [
        ("research", ()),
        ("aside", ()),
        ("write", ("research",)),
    ]
    assert project.tasks[2].description == "Write on (the output of the task research) in {tone}"
    assert report.ignored == []
    assert project.agents == (agent("a", llm="openai/gpt-4.1-mini", max_iterations=15),)


def test_what_a_crew_cannot_say_is_reported() -> None:
    nodes = [
        {**single("research", "Find {{ nodes.pick.output.case }}"), "retry": {"max": 1}, "timeout_ms": 5},
        node("pick", "condition", cases=[{"name": "x", "when": "true"}]),
        node(
            "crew",
            "crew",
            process="hierarchical",
            agent_ids=[str(B)],
            manager_agent_id=str(M),
            tasks=[{"name": "t", "description": "d", "expected_output": "e"}],
        ),
    ]
    graph = graph_of(
        nodes,
        inputs={"type": "object", "properties": {"n": {"type": "integer"}}},
        edges=[{"from": "pick", "to": "research", "port": "x"}],
        outputs={"a": "nodes.research.output.text", "b": "size(nodes.crew.output.tasks)"},
    )
    project, report = exported(graph)
    assert [t.key for t in project.tasks] == ["crew_t", "research"]
    assert found(report.ignored) == {
        ("unsupported", where)
        for where in (
            "nodes.crew.process",
            "tasks.research.description",
            "nodes.pick",
            "nodes.research.retry",
            "nodes.research.timeout_ms",
            "edges.0",
            "inputs",
            "outputs.b",
        )
    }
    assert ("changed", "agents.Agent_B") in found(report.mapped)


def test_a_draft_whose_tasks_have_no_agent_can_be_exported() -> None:
    graph = graph_of(
        [
            node(
                "c",
                "crew",
                agent_ids=[str(A), str(B)],
                tasks=[{"name": "t", "description": "d", "expected_output": "e"}],
            )
        ]
    )
    project, _ = exported(graph)
    assert [t.agent for t in project.tasks] == [None]


STRANGER = {"name": "t", "description": "d", "expected_output": "e", "agent_id": str(B)}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("t", "transform", template="x")], "no crew and no agent task"),
        ([single("a", "x") | {"config": {"agent_id": str(new_id())}}], "nodes.a.config.description: Field required"),
        ([node("c", "crew", agent_ids=[str(new_id())], tasks=[])], "which is not there"),
        ([node("c", "crew", agent_ids=[str(A)], tasks=[STRANGER])], "is not one of the crew's"),
    ],
)
def test_what_cannot_be_exported(nodes: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        exported(graph_of(nodes))
