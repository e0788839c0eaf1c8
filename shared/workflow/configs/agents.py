"""Nodes in which agents work."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared.workflow.configs.base import About, Config, ItemName, NodeConfig
from shared.workflow.states import CallKind
from shared.workflow.texts import AgentId, JsonSchema, ModelId, TemplateText

MAX_TASKS = 100


class AgentTaskConfig(NodeConfig):
    """One agent does one task. The step's output is `{"text", "data", "citations"}`; `data` only with
    `output_schema`. `[2]` in the text stands for the passage that `citations` has under that number."""

    about = About("Agent task", calls=(CallKind.LLM, CallKind.TOOL), effect=None)

    agent_id: AgentId
    description: TemplateText = Field(min_length=1)
    expected_output: TemplateText = Field(min_length=1)
    output_schema: JsonSchema | None = None
    markdown: bool = False


class CrewTask(Config):
    """One task of a crew. `context` names earlier tasks whose results it sees; none given means all of them."""

    name: ItemName
    description: TemplateText = Field(min_length=1)
    expected_output: TemplateText = Field(min_length=1)
    agent_id: AgentId | None = None
    context: tuple[str, ...] | None = None
    output_schema: JsonSchema | None = None
    markdown: bool = False


class CrewConfig(NodeConfig):
    """Agents do tasks in order, or a manager hands them out. Output: `{"text", "data", "citations", "tasks"}`."""

    about = About("Crew", calls=(CallKind.LLM, CallKind.TOOL), effect=None)

    process: Literal["sequential", "hierarchical"] = "sequential"
    agent_ids: tuple[AgentId, ...] = Field(min_length=1, max_length=50)
    tasks: tuple[CrewTask, ...] = Field(min_length=1, max_length=MAX_TASKS)
    manager_agent_id: AgentId | None = None
    manager_model_id: ModelId | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        self._check_manager()
        complaints = list(self._task_complaints())
        if complaints:
            raise ValidationError.from_exception_data(type(self).__name__, complaints)
        return self

    def _check_manager(self) -> None:
        given = [m for m in (self.manager_agent_id, self.manager_model_id) if m is not None]
        if self.process == "hierarchical" and len(given) != 1:
            raise ValueError("a hierarchical crew needs one manager: give manager_agent_id or manager_model_id")
        if self.process == "sequential" and given:
            raise ValueError("a sequential crew has no manager: remove it, or set process to hierarchical")
        if self.manager_agent_id in self.agent_ids:
            raise ValueError("the manager must not be one of agent_ids: take it out of the list")

    def _task_complaints(self) -> Iterator[InitErrorDetails]:
        earlier: set[str] = set()
        for index, task in enumerate(self.tasks):
            for field, complaint in self._check_task(task, earlier):
                kind = PydanticCustomError("crew_task", "{complaint}", {"complaint": complaint})
                yield InitErrorDetails(type=kind, loc=("tasks", index, field), input=task.name)
            earlier.add(task.name)

    def _check_task(self, task: CrewTask, earlier: set[str]) -> Iterator[tuple[str, str]]:
        if task.name in earlier:
            yield "name", f"two tasks are named {task.name!r}: give each its own name"
        if task.agent_id is None and self.process == "sequential":
            yield "agent_id", f"task {task.name!r} has no agent: a sequential crew needs agent_id on every task"
        if task.agent_id is not None and task.agent_id not in self.agent_ids:
            yield "agent_id", f"task {task.name!r} names an agent that is not in agent_ids"
        for name in task.context or ():
            if name not in earlier:
                yield "context", f"task {task.name!r} takes context from {name!r}, which is no earlier task"
