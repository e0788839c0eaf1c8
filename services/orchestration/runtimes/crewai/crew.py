"""crewAI's crew, task and agent, made for one step and bound to the step's calls.

What stays crewAI's own: the order of tasks, the context that one task gets of others, the manager of a hierarchical
crew, who may delegate to whom, and all texts. What is replaced: the way out (models, tools), the executor, and
whatever looks for files, memories, trained data or the network on the way.
"""

from collections.abc import Sequence
from typing import Any

from crewai import Agent, Crew, Process, Task
from crewai.agents.agent_builder.base_agent import BaseAgent
from crewai.tasks.task_output import TaskOutput
from crewai.tools import BaseTool
from crewai.utilities.constants import NOT_SPECIFIED
from pydantic import PrivateAttr

from services.orchestration.engine.ports import AgentPlan, StepCalls, TaskPlan
from services.orchestration.runtimes.crewai import prompts
from services.orchestration.runtimes.crewai.delegation import delegation_tools
from services.orchestration.runtimes.crewai.loop import AgentLoop
from services.orchestration.runtimes.crewai.model import StepModel
from services.orchestration.runtimes.crewai.toolbox import ToolBox
from services.orchestration.runtimes.crewai.tools import AgentTool
from shared.kit.json import JsonObject


class StepAgent(Agent):
    _plan: AgentPlan = PrivateAttr()
    _calls: StepCalls = PrivateAttr()

    @classmethod
    def of(cls, plan: AgentPlan, model: StepModel, tools: Sequence[BaseTool], calls: StepCalls) -> "StepAgent":
        agent = cls(
            role=plan.role,
            goal=plan.goal,
            backstory=plan.backstory,
            llm=model,
            tools=list(tools),
            allow_delegation=plan.allow_delegation,
        )
        agent._plan, agent._calls = plan, calls
        return agent

    @property
    def plan(self) -> AgentPlan:
        return self._plan

    async def aexecute_task(self, task: Task, context: str | None = None, tools: list[BaseTool] | None = None) -> str:
        """crewAI's own retries what fails, reads trained data from a pickle, and runs each turn in a thread."""
        schema = task.output_schema if isinstance(task, StepTask) else None
        usable = [tool for tool in tools or self.tools or [] if isinstance(tool, AgentTool)]
        assert isinstance(self.llm, StepModel)
        loop = AgentLoop(self._plan, self.llm, ToolBox(usable, self._calls), self._calls, schema)
        answer = await loop.run(prompts.with_context(task.prompt(), context))
        if isinstance(task, StepTask):
            task.data = answer.data
        return answer.text

    def create_agent_executor(self, tools: list[BaseTool] | None = None, task: Task | None = None) -> None:
        """A crew makes an executor for each agent before it starts; ours is made for each task, when it starts."""

    def get_delegation_tools(self, agents: Sequence[BaseAgent]) -> list[BaseTool]:
        return [*delegation_tools(agents)]


class StepTask(Task):
    """`data` is set when the task has been done: the value of its answer, if it has an `output_schema`."""

    output_schema: JsonObject | None = None
    data: Any = None

    _calls: StepCalls = PrivateAttr()
    _scope: str = PrivateAttr()

    @classmethod
    def of(
        cls, plan: TaskPlan, position: int, agent: StepAgent | None, before: Sequence[Task], calls: StepCalls
    ) -> "StepTask":
        task = cls(
            name=plan.name,
            description=plan.description,
            expected_output=plan.expected_output,
            agent=agent,
            context=NOT_SPECIFIED if plan.context is None else [before[index] for index in plan.context],
            markdown=plan.markdown,
            output_schema=plan.output_schema,
        )
        task._calls, task._scope = calls, f"task{position}"
        return task

    def prompt(self) -> str:
        text = super().prompt()
        return text if self.output_schema is None else prompts.with_schema(text, self.output_schema)

    async def aexecute_sync(
        self, agent: BaseAgent | None = None, context: str | None = None, tools: list[BaseTool] | None = None
    ) -> TaskOutput:
        with self._calls.scope(self._scope):
            return await super().aexecute_sync(agent, context, tools)


class _NoTaskOutputs:
    """crewAI's own keeps what the last crew of this machine put out, whoever's it was, in one sqlite file."""

    def reset(self) -> None: ...

    def update(self, task_index: int, log: dict[str, Any]) -> None: ...


class StepCrew(Crew):
    _task_output_handler: Any = PrivateAttr(default_factory=_NoTaskOutputs)

    def _prepare_tools(self, agent: BaseAgent, task: Task, tools: list[BaseTool]) -> list[BaseTool]:
        """crewAI's own also looks for files, memories, apps and MCP servers, and compares agents field by field."""
        if not agent.allow_delegation:
            return tools
        if self.process is Process.hierarchical:
            return self._update_manager_tools(task, tools)
        coworkers = [each for each in self.agents if each is not agent]
        return self._inject_delegation_tools(tools, agent, coworkers) if coworkers else tools
