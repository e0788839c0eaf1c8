from services.orchestration.engine.ports import StepFailed
from services.orchestration.engine.steps.base import BodyStep, ExpressionField, Iteration, Iterations
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.flow import LoopConfig
from shared.workflow.expressions import Meter, Scope


class LoopStep(BodyStep):
    def __init__(self, config: LoopConfig) -> None:
        self._config = config
        self._until = ExpressionField("until", config.until)

    def begin(self, scope: Scope) -> tuple[Iterations, Json]:
        return _LoopIterations(self._config, self._until), None


class _LoopIterations(Iterations):
    def __init__(self, config: LoopConfig, until: ExpressionField) -> None:
        self._config = config
        self._until = until
        self._previous: Json = None
        self._running = False
        self._ended = 0
        self._met = False

    def due(self) -> Iteration | None:
        if self._running or self.done:
            return None
        self._running = True
        return Iteration(self._ended, {"iteration": {"index": self._ended, "previous": self._previous}})

    def ended(self, index: int, output: Json, scope: Scope) -> None:
        self._running = False
        self._ended += 1
        self._previous = output
        self._met = self._until.holds(scope, Meter())
        if not self._met and self._config.on_limit == "fail" and self.done:
            message = f"until did not hold after {self._ended} iterations, the most that are allowed"
            raise StepFailed(message, code="loop_limit", retryable=False)

    def failed(self, index: int, error: JsonObject) -> JsonObject | None:
        return {**error, "message": f"iteration {index}: {error['message']}"}

    @property
    def done(self) -> bool:
        return not self._running and (self._met or self._ended == self._config.max_iterations)

    def output(self) -> Json:
        return {"output": self._previous, "iterations": self._ended, "met": self._met}
