from typing import Any, Final

from services.orchestration.engine.failures import error_object
from services.orchestration.engine.ports import StepFailed
from services.orchestration.engine.steps.base import BodyStep, ExpressionField, Iteration, Iterations
from shared.kit.json import Json, JsonObject
from shared.workflow.cel.values import kind
from shared.workflow.configs.flow import MapConfig
from shared.workflow.expressions import Meter, Scope

MAX_ITEMS: Final = 10_000


class MapStep(BodyStep):
    def __init__(self, config: MapConfig) -> None:
        self._config = config
        self._items = ExpressionField("items", config.items)

    def begin(self, scope: Scope) -> tuple[Iterations, Json]:
        items = self._items.value(scope, Meter())
        if not isinstance(items, list):
            message = f"items: this must be a list, but it is {kind(items)}"
            raise StepFailed(message, code="items_invalid", retryable=False)
        if len(items) > MAX_ITEMS:
            message = f"items: there are {len(items):,}, and at most {MAX_ITEMS:,} are possible: split the list up"
            raise StepFailed(message, code="too_many_items", retryable=False)
        return _MapIterations(self._config, items), {"items": len(items)}


class _MapIterations(Iterations):
    def __init__(self, config: MapConfig, items: list[Any]) -> None:
        self._config = config
        self._items = items
        self._outputs: list[Json] = [None] * len(items)
        self._errors: dict[int, JsonObject] = {}
        self._begun = 0
        self._running = 0

    def due(self) -> Iteration | None:
        index = self._begun
        if index == len(self._items) or self._running == self._config.parallelism:
            return None
        self._begun += 1
        self._running += 1
        return Iteration(index, {"item": self._items[index], "iteration": {"index": index}})

    def ended(self, index: int, output: Json, scope: Scope) -> None:
        self._running -= 1
        self._outputs[index] = output

    def failed(self, index: int, error: JsonObject) -> JsonObject | None:
        if self._config.on_error == "fail":
            return {**error, "message": f"item {index}: {error['message']}"}
        self._running -= 1
        self._errors[index] = error
        most = self._config.max_failures
        if most is None or len(self._errors) <= most:
            return None
        message = f"{len(self._errors)} items failed, and at most {most} may; the last was item {index}: "
        return error_object("too_many_failures", message + error["message"], error["node"])

    @property
    def done(self) -> bool:
        return self._running == 0 and self._begun == len(self._items)

    def output(self) -> Json:
        failed = [{"index": index, "error": self._errors[index]} for index in sorted(self._errors)]
        return {"items": self._outputs, "failed": failed}
