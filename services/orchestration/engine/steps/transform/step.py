from services.orchestration.engine.steps.base import ExpressionField, PureStep, TemplateField
from shared.kit.json import Json
from shared.workflow.configs.values import TransformConfig
from shared.workflow.expressions import Meter, Scope


class TransformStep(PureStep):
    def __init__(self, config: TransformConfig) -> None:
        self._expression = None if config.expression is None else ExpressionField("expression", config.expression)
        self._template = TemplateField("template", config.template or "")

    def evaluate(self, scope: Scope) -> Json:
        if self._expression is not None:
            return self._expression.value(scope, Meter())
        return self._template.render(scope, Meter())
