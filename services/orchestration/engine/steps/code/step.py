from services.orchestration.engine.ports import CodeRequest
from services.orchestration.engine.steps.base import CallingStep, ExpressionField, StepContext
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.code import CodeConfig
from shared.workflow.expressions import Meter, Scope


class CodeStep(CallingStep):
    def __init__(self, config: CodeConfig) -> None:
        self._config = config
        self._inputs = {name: ExpressionField(f"inputs.{name}", source) for name, source in config.inputs.items()}

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        return {"inputs": {name: field.value(scope, meter) for name, field in self._inputs.items()}}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        request = CodeRequest(
            source=config.source, inputs=told["inputs"], timeout=config.timeout_ms / 1000, memory_mb=config.memory_mb
        )
        reply = await context.calls.code(request)
        if reply.printed:
            context.calls.log("info", reply.printed.rstrip("\n"))
        return reply.value
