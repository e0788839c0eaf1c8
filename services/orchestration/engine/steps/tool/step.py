from services.orchestration.engine.steps.base import CallingStep, ExpressionField, StepContext
from shared.kit.json import Json, JsonObject, loads
from shared.workflow.configs.outside import ToolConfig
from shared.workflow.expressions import Meter, Scope


class ToolStep(CallingStep):
    def __init__(self, config: ToolConfig) -> None:
        self._config = config
        self._arguments = {
            name: ExpressionField(f"arguments.{name}", source) for name, source in config.arguments.items()
        }

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        values = {name: field.value(scope, meter) for name, field in self._arguments.items()}
        # An expression cannot leave an argument out but by null, which few tools take.
        return {"arguments": {name: value for name, value in values.items() if value is not None}}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        text = await context.calls.tool(config.tool, told["arguments"], needs_approval=config.needs_approval)
        return {"text": text, "data": _parsed(text)}


def _parsed(text: str) -> Json:
    try:
        return loads(text)
    except ValueError:
        return None
