from services.orchestration.engine.codec import citations
from services.orchestration.engine.ports import CrewPlan, TaskPlan
from services.orchestration.engine.steps.base import CallingStep, StepContext, TemplateField
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.agents import AgentTaskConfig
from shared.workflow.expressions import Meter, Scope


class AgentTaskStep(CallingStep):
    """A crew of one agent with one task."""

    def __init__(self, config: AgentTaskConfig) -> None:
        self._config = config
        self._description = TemplateField("description", config.description)
        self._expected = TemplateField("expected_output", config.expected_output)

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        return {
            "description": self._description.render(scope, meter),
            "expected_output": self._expected.render(scope, meter),
        }

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        task = TaskPlan(
            name=context.name,
            description=told["description"],
            expected_output=told["expected_output"],
            agent=0,
            output_schema=self._config.output_schema,
            markdown=self._config.markdown,
        )
        plan = CrewPlan(agents=(context.snapshot.agent(self._config.agent_id),), tasks=(task,))
        result = await context.agents.run_crew(plan, context.calls)
        return {"text": result.text, "data": result.data, "citations": citations(result.citations)}
