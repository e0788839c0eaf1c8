"""A crew becomes agents for the tenant's pool and a workflow graph with one crew node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.workflows.crewai_format.names import PoolModel, find_model, find_tool
from services.workflows.crewai_format.placeholders import placeholders, to_template
from services.workflows.crewai_format.project import CrewAgent, CrewProject, CrewTask, Place, Process
from services.workflows.crewai_format.report import Code, Item, Report, placed
from shared.kit.json import Json, JsonObject

_NODE = "crew"
# What an agent of the pool may have at most.
MAX_ITERATIONS = 100
MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Catalog:
    """What names may mean at this tenant. `fallback` is the model of agents whose own is not known here."""

    tools: Sequence[str]
    models: Sequence[PoolModel]
    fallback: PoolModel


@dataclass(frozen=True, slots=True)
class AgentDraft:
    """An agent as it is to be written to the pool; texts are templates over the workflow's inputs."""

    key: str
    role: str
    goal: str
    backstory: str
    model_id: UUID
    tools: tuple[str, ...]
    temperature: float | None
    max_tokens: int | None
    max_iterations: int | None
    allow_delegation: bool


class Resolver:
    """Looks up the names of a bound project in the catalog and reports what is not there."""

    def __init__(self, project: CrewProject, catalog: Catalog, report: Report) -> None:
        self._project = project
        self._catalog = catalog
        self._report = report

    def agents(self) -> list[AgentDraft]:
        return [self._agent(agent) for agent in self._project.everyone()]

    def manager_model(self) -> UUID | None:
        """The model that manages a hierarchical crew, unless an agent does."""
        project = self._project
        if project.process is not Process.HIERARCHICAL or project.manager is not None:
            return None
        return self._model(project.manager_llm, "crew.manager_llm", None)

    def _agent(self, agent: CrewAgent) -> AgentDraft:
        where = f"agents.{agent.key}"
        return AgentDraft(
            key=agent.key,
            role=to_template(agent.role),
            goal=to_template(agent.goal),
            backstory=to_template(agent.backstory),
            model_id=self._model(agent.llm, f"{where}.llm", agent.place),
            tools=self._tools_of(agent),
            temperature=agent.temperature,
            max_tokens=self._at_most(MAX_TOKENS, agent.max_tokens, f"{where}.max_tokens", agent.place),
            max_iterations=self._at_most(MAX_ITERATIONS, agent.max_iterations, f"{where}.max_iter", agent.place),
            allow_delegation=agent.allow_delegation,
        )

    def _at_most(self, most: int, number: int | None, where: str, place: Place | None) -> int | None:
        if number is None or number <= most:
            return number
        self._report.mapped.append(placed(Code.CHANGED, where, f"{number} is lowered to {most}", place))
        return most

    def _model(self, name: str | None, where: str, place: Place | None) -> UUID:
        fallback = self._catalog.fallback
        if name is None:
            self._report.mapped.append(placed(Code.MODEL, where, f"none is named; uses '{fallback.name}'", place))
            return fallback.id
        found = find_model(self._catalog.models, name)
        if found is None:
            message = f"there is no model '{name}' here; uses '{fallback.name}' instead"
            self._report.missing.append(placed(Code.MODEL_MISSING, where, message, place))
            return fallback.id
        self._report.mapped.append(placed(Code.MODEL, where, f"is the model '{found.name}'", place))
        return found.id

    def _tools_of(self, agent: CrewAgent) -> tuple[str, ...]:
        """An agent's own tools and those of its tasks: here tools belong to agents."""
        found = [self._tool(name, f"agents.{agent.key}.tools", agent.place) for name in agent.tools]
        for task in self._project.tasks:
            if task.agent == agent.key:
                found += [self._task_tool(task, name, agent) for name in task.tools]
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def _task_tool(self, task: CrewTask, name: str, agent: CrewAgent) -> str | None:
        where = f"tasks.{task.key}.tools"
        found = self._tool(name, where, task.place)
        if found is not None and found not in agent.tools:
            message = f"the tool '{found}' goes to the agent '{agent.key}', for all of its tasks"
            self._report.mapped.append(placed(Code.CHANGED, where, message, task.place))
        return found

    def _tool(self, name: str, where: str, place: Place | None) -> str | None:
        found = find_tool(self._catalog.tools, name)
        if found is None:
            message = f"there is no tool '{name}' here; the agent goes without it"
            self._report.missing.append(placed(Code.TOOL_MISSING, where, message, place))
        else:
            self._report.mapped.append(placed(Code.TOOL, where, f"is the tool '{found}'", place))
        return found


def crew_graph(
    project: CrewProject, agent_ids: Mapping[str, UUID], manager_model_id: UUID | None, report: Report
) -> JsonObject:
    """The workflow graph of a bound project whose agents are already in the pool, as `agent_ids` by key."""
    outputs = {"result": f"nodes.{_NODE}.output.text"}
    if project.tasks[-1].output_schema is not None:
        outputs["data"] = f"nodes.{_NODE}.output.data"
    config: JsonObject = {
        "process": project.process.value,
        "agent_ids": [str(agent_ids[agent.key]) for agent in project.agents],
        "tasks": [_task(task, agent_ids) for task in project.tasks],
        **_manager(project, agent_ids, manager_model_id),
    }
    inputs = inputs_schema(project)
    for asked in inputs["properties"]:
        report.mapped.append(Item(Code.INPUT, f"inputs.{asked}", "becomes an input of the workflow"))
    node = {"id": _NODE, "type": "crew", "name": project.name or "Crew", "config": config, "ui": {"x": 0, "y": 0}}
    return {
        "spec": 1,
        "inputs": inputs,
        "nodes": [node],
        "edges": [],
        "outputs": outputs,
    }


def _task(task: CrewTask, agent_ids: Mapping[str, UUID]) -> JsonObject:
    config: JsonObject = {
        "name": task.key,
        "description": to_template(task.description),
        "expected_output": to_template(task.expected_output),
    }
    if task.agent is not None:
        config["agent_id"] = str(agent_ids[task.agent])
    if task.context is not None:
        config["context"] = list(task.context)
    if task.output_schema is not None:
        config["output_schema"] = task.output_schema
    if task.markdown:
        config["markdown"] = True
    return config


def _manager(project: CrewProject, agent_ids: Mapping[str, UUID], model_id: UUID | None) -> JsonObject:
    if project.process is not Process.HIERARCHICAL:
        return {}
    if project.manager is not None:
        return {"manager_agent_id": str(agent_ids[project.manager.key])}
    return {"manager_model_id": str(model_id)}


def inputs_schema(project: CrewProject) -> JsonObject:
    """One property per placeholder, and per default that the project gives."""
    names = dict.fromkeys([*_asked(project), *project.inputs])
    required = [name for name in names if project.inputs.get(name) is None]
    properties = {name: _input(project.inputs.get(name)) for name in names}
    return {"type": "object", "properties": properties, "required": required}


def _asked(project: CrewProject) -> list[str]:
    texts = [text for agent in project.everyone() for text in (agent.role, agent.goal, agent.backstory)]
    texts += [text for task in project.tasks for text in (task.description, task.expected_output)]
    return [name for text in texts for name in placeholders(text)]


def _input(default: Json) -> JsonObject:
    """Without a default an input is text, as crewAI's own command asks for it."""
    schema: JsonObject = {"type": _json_type(default)}
    return schema if default is None else {**schema, "default": default}


def _json_type(value: Json) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "string"
