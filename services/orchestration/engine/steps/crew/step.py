from uuid import UUID

from services.orchestration.engine.codec import citations
from services.orchestration.engine.ports import CrewPlan, CrewResult, TaskPlan
from services.orchestration.engine.steps.base import CallingStep, StepContext, TemplateField
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.agents import CrewConfig, CrewTask
from shared.workflow.expressions import Meter, Scope


class CrewStep(CallingStep):
    def __init__(self, config: CrewConfig) -> None:
        self._config = config
        self._texts = [_texts(index, task) for index, task in enumerate(config.tasks)]
        self._agents: dict[UUID, int] = {id_: index for index, id_ in enumerate(config.agent_ids)}
        self._tasks = {task.name: index for index, task in enumerate(config.tasks)}

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        tasks = [
            {
                "name": task.name,
                "description": description.render(scope, meter),
                "expected_output": expected.render(scope, meter),
            }
            for task, (description, expected) in zip(self._config.tasks, self._texts, strict=True)
        ]
        return {"tasks": tasks}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        plan = CrewPlan(
            agents=tuple(context.snapshot.agent(each) for each in config.agent_ids),
            tasks=tuple(self._task(task, text) for task, text in zip(config.tasks, told["tasks"], strict=True)),
            process=config.process,
            manager=None if config.manager_agent_id is None else context.snapshot.agent(config.manager_agent_id),
            manager_model_id=config.manager_model_id,
        )
        return _output(await context.agents.run_crew(plan, context.calls))

    def _task(self, task: CrewTask, told: JsonObject) -> TaskPlan:
        return TaskPlan(
            name=task.name,
            description=told["description"],
            expected_output=told["expected_output"],
            agent=None if task.agent_id is None else self._agents[task.agent_id],
            context=None if task.context is None else tuple(self._tasks[name] for name in task.context),
            output_schema=task.output_schema,
            markdown=task.markdown,
        )


def _texts(index: int, task: CrewTask) -> tuple[TemplateField, TemplateField]:
    place = f"tasks.{index}"
    return (
        TemplateField(f"{place}.description", task.description),
        TemplateField(f"{place}.expected_output", task.expected_output),
    )


def _output(result: CrewResult) -> JsonObject:
    return {
        "text": result.text,
        "data": result.data,
        "citations": citations(result.citations),
        "tasks": [
            {"name": task.name, "agent": task.agent, "text": task.text, "data": task.data} for task in result.tasks
        ],
    }
