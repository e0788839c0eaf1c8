"""Nodes that work with agents, as the tasks of one crewAI crew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ValidationError

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.export_text import TextExport
from services.workflows.crewai_format.project import CrewTask, Process
from services.workflows.crewai_format.report import Code, Item, Report
from shared.workflow.configs.agents import AgentTaskConfig
from shared.workflow.configs.agents import CrewTask as TaskConfig
from shared.workflow.graph import Node


class _CrewDraft(BaseModel):
    """A crew's config as a draft may hold it: tasks may still lack their agent."""

    process: Process = Process.SEQUENTIAL
    agent_ids: tuple[UUID, ...]
    tasks: tuple[TaskConfig, ...]
    manager_agent_id: UUID | None = None
    manager_model_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class TaskNode:
    """A `crew` node, or an `agent_task` node as a crew of one."""

    id: str
    agent_ids: tuple[UUID, ...]
    tasks: tuple[TaskConfig, ...]
    process: Process
    manager_agent_id: UUID | None
    manager_model_id: UUID | None

    @classmethod
    def of(cls, node: Node) -> Self:
        """Raises `ProjectError` when the config is not one of its type."""
        try:
            crew = _CrewDraft.model_validate(node.config) if node.type == "crew" else _crew_of_one(node)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ProjectError(Fault(f"nodes.{node.id}.config.{field}: {first['msg']}")) from None
        return cls(node.id, crew.agent_ids, crew.tasks, crew.process, crew.manager_agent_id, crew.manager_model_id)


def _crew_of_one(node: Node) -> _CrewDraft:
    config = AgentTaskConfig.model_validate(node.config)
    # It sees of other nodes what its texts refer to, and nothing by default.
    task = TaskConfig(name=node.id, context=(), **config.model_dump())
    return _CrewDraft(agent_ids=(config.agent_id,), tasks=(task,))


class TaskExport:
    def __init__(self, nodes: Sequence[TaskNode], agent_keys: Mapping[UUID, str], report: Report) -> None:
        self._nodes = nodes
        self._agent_keys = agent_keys
        self._report = report
        self._last_tasks: dict[str, str] = {}

    def tasks(self) -> tuple[CrewTask, ...]:
        tasks: list[CrewTask] = []
        for node in self._nodes:
            names = self._names(node)
            for index, task in enumerate(node.tasks):
                tasks.append(self._task(task, names, self._context(node, index, names)))
            self._last_tasks[node.id] = tasks[-1].key
        return tuple(tasks)

    def _names(self, node: TaskNode) -> dict[str, str]:
        """Tasks keep their names, unless those of other nodes might be the same."""
        if len(self._nodes) == 1 or [task.name for task in node.tasks] == [node.id]:
            return {task.name: task.name for task in node.tasks}
        return {task.name: f"{node.id}_{task.name}" for task in node.tasks}

    def _context(self, node: TaskNode, index: int, names: Mapping[str, str]) -> tuple[str, ...] | None:
        given = node.tasks[index].context
        if given is not None:
            return tuple(names.get(name, name) for name in given)
        if len(self._nodes) == 1:
            return None
        return tuple(names[task.name] for task in node.tasks[:index])

    def _task(self, task: TaskConfig, names: Mapping[str, str], context: tuple[str, ...] | None) -> CrewTask:
        key = names[task.name]
        where = f"tasks.{key}"
        texts = TextExport(self._report, self._last_tasks)
        description = texts.text(f"{where}.description", task.description)
        expected_output = texts.text(f"{where}.expected_output", task.expected_output)
        if context is not None:
            context = tuple(dict.fromkeys([*texts.used, *context]))
        self._report.mapped.append(Item(Code.TASK, where, "becomes a task of the crew"))
        return CrewTask(
            key=key,
            description=description,
            expected_output=expected_output,
            agent=self._agent(task.agent_id, where),
            context=context,
            output_schema=task.output_schema,
            markdown=task.markdown,
        )

    def _agent(self, agent_id: UUID | None, where: str) -> str | None:
        if agent_id is None or agent_id in self._agent_keys:
            return None if agent_id is None else self._agent_keys[agent_id]
        raise ProjectError(Fault(f"{where}: the agent {agent_id} is not one of the crew's"))
