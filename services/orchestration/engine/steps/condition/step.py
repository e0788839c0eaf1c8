from typing import Any

from services.orchestration.engine.steps.base import ExpressionField, PureStep
from shared.kit.json import Json
from shared.workflow.configs.values import ConditionConfig
from shared.workflow.expressions import Meter, Scope


class ConditionStep(PureStep):
    def __init__(self, config: ConditionConfig) -> None:
        self._default = config.default
        self._cases = [
            (case.name, ExpressionField(f"cases.{index}.when", case.when)) for index, case in enumerate(config.cases)
        ]

    def evaluate(self, scope: Scope) -> Json:
        meter = Meter()
        for name, when in self._cases:
            if when.holds(scope, meter):
                return {"case": name}
        return {"case": self._default}

    def port_of(self, output: Any) -> str | None:
        return output["case"]
