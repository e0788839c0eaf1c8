"""The engine's `AgentRuntime`, on crewAI."""

from dataclasses import replace
from uuid import UUID

from crewai import Process
from crewai.utilities.i18n import I18N_DEFAULT

from services.orchestration.engine.ports import AgentPlan, CrewPlan, CrewResult, ModelInfo, StepCalls, TaskResult
from services.orchestration.runtimes.crewai.citations import Citations
from services.orchestration.runtimes.crewai.crew import StepAgent, StepCrew, StepTask
from services.orchestration.runtimes.crewai.model import NO_AGENT, StepModel
from services.orchestration.runtimes.crewai.tools import tools_of


class CrewAIRuntime:
    """Runs crews on the event loop of its caller. It keeps nothing between two runs.

    Raises what the calls raise; `StepFailed` if an agent gives no usable answer. Cancelling it, or a `StepAborted`
    out of any call, stops the crew where it is.
    """

    async def run_crew(self, plan: CrewPlan, calls: StepCalls) -> CrewResult:
        crew = await _assemble(plan, calls)
        citations = Citations()
        with citations.applied():
            await crew.akickoff()  # pyright: ignore[reportUnknownMemberType]  # a parameter's type is not installed
        results = tuple(_result(task) for task in crew.tasks if isinstance(task, StepTask))
        return CrewResult(
            text=results[-1].text,
            data=results[-1].data,
            tasks=results,
            citations=citations.cited_in(result.text for result in results),
        )


async def _assemble(plan: CrewPlan, calls: StepCalls) -> StepCrew:
    manager = _manager(plan, calls)
    everyone = plan.agents if manager is None else (*plan.agents, manager)
    models = {id_: await calls.describe_model(id_) for id_ in dict.fromkeys(agent.model_id for agent in everyone)}
    agents = [_agent(agent, models, calls) for agent in plan.agents]
    tasks: list[StepTask] = []
    for position, task in enumerate(plan.tasks):
        worker = None if task.agent is None else agents[task.agent]
        tasks.append(StepTask.of(task, position, worker, tasks, calls))
    return StepCrew(
        agents=[*agents],
        tasks=[*tasks],
        process=Process(plan.process),
        manager_agent=None if manager is None else _agent(manager, models, calls),
        tracing=False,
    )


def _agent(plan: AgentPlan, models: dict[UUID, ModelInfo], calls: StepCalls) -> StepAgent:
    return StepAgent.of(plan, StepModel.of(plan, models[plan.model_id], calls), tools_of(plan, calls), calls)


def _manager(plan: CrewPlan, calls: StepCalls) -> AgentPlan | None:
    """The crew's manager, or crewAI's stock one. crewAI allows it no tools but delegation."""
    if plan.process != "hierarchical":
        return None
    if plan.manager is None:
        return _stock_manager(plan)
    if plan.manager.tools or plan.manager.knowledge_base_ids:
        calls.log("warning", f"{plan.manager.name}: a manager only delegates, its own tools are not used")
    return replace(plan.manager, tools=(), knowledge_base_ids=(), allow_delegation=True)


def _stock_manager(plan: CrewPlan) -> AgentPlan:
    if plan.manager_model_id is None:
        raise ValueError("a hierarchical crew needs a manager or a manager model")
    role, goal, backstory = (
        I18N_DEFAULT.retrieve("hierarchical_manager_agent", part) for part in ("role", "goal", "backstory")
    )
    return AgentPlan(
        id=NO_AGENT,
        name=role,
        role=role,
        goal=goal,
        backstory=backstory,
        model_id=plan.manager_model_id,
        allow_delegation=True,
    )


def _result(task: StepTask) -> TaskResult:
    """Of a task that has been done: the agent is the one that did it, the manager in a hierarchical crew."""
    assert task.output is not None
    agent = task.agent.plan.name if isinstance(task.agent, StepAgent) else task.output.agent
    return TaskResult(name=task.name or "", agent=agent, text=task.output.raw, data=task.data)
