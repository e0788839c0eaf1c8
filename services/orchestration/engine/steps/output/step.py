from services.orchestration.engine.steps.base import ExpressionField, PureStep
from shared.kit.json import Json
from shared.workflow.configs.values import OutputConfig
from shared.workflow.expressions import Meter, Scope


class OutputStep(PureStep):
    def __init__(self, config: OutputConfig) -> None:
        self._values = [(name, ExpressionField(f"values.{name}", source)) for name, source in config.values.items()]

    def evaluate(self, scope: Scope) -> Json:
        meter = Meter()
        return {name: value.value(scope, meter) for name, value in self._values}
