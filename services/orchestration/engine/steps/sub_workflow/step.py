from typing import Any

from services.orchestration.engine.ports import StepFailed, WaitKind, WaitRequest
from services.orchestration.engine.steps.base import CallingStep, ExpressionField, StepContext
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.flow import SubWorkflowConfig
from shared.workflow.expressions import Meter, Scope
from shared.workflow.states import ExecutionStatus


class SubWorkflowStep(CallingStep):
    def __init__(self, config: SubWorkflowConfig) -> None:
        self._config = config
        self._inputs = {name: ExpressionField(f"inputs.{name}", source) for name, source in config.inputs.items()}

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        return {"inputs": {name: field.value(scope, meter) for name, field in self._inputs.items()}}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        child = context.snapshot.child(config.workflow_id, config.version, told["inputs"])
        wait = await context.calls.wait(
            WaitRequest(
                WaitKind.CHILD,
                title=child.name,
                request={
                    "workflow_id": str(config.workflow_id),
                    "version": child.workflow_version,
                    "inputs": told["inputs"],
                },
                child=child,
            )
        )
        return _output(wait.answer and wait.answer.value, child.name)


def _output(ended: Any, name: str) -> Json:
    if ended is not None and ended["status"] == ExecutionStatus.SUCCEEDED:
        return ended["output"]
    error: Any = (ended and ended.get("error")) or {"message": "it was cancelled"}
    raise StepFailed(
        f"{name}: {error['message']}",
        code="child_failed",
        # What the child cannot do better the next time, it need not be paid for again.
        retryable=error.get("retryable") is True,
        details={"error": error},
    )
