from datetime import datetime

from services.orchestration.engine.ports import StepFailed, WaitKind, WaitRequest
from services.orchestration.engine.steps.base import CallingStep, ExpressionField, StepContext, TemplateField
from shared.kit.json import Json, JsonObject
from shared.workflow.cel.values import is_number, kind
from shared.workflow.configs.flow import LONGEST_MS, DelayConfig
from shared.workflow.expressions import Meter, Scope


class DelayStep(CallingStep):
    def __init__(self, config: DelayConfig) -> None:
        self._for_ms = config.for_ms
        self._seconds = None if config.for_seconds is None else ExpressionField("for", config.for_seconds)
        self._until = TemplateField("until", config.until or "")

    def render(self, scope: Scope) -> JsonObject:
        if self._for_ms is not None:
            return {"for_ms": self._for_ms}
        if self._seconds is not None:
            return {"for_ms": _milliseconds(self._seconds.value(scope, Meter()))}
        return {"until": _moment(self._until.render(scope, Meter())).isoformat()}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        until, for_ms = told.get("until"), told.get("for_ms")
        wait = await context.calls.wait(
            WaitRequest(
                WaitKind.TIMER,
                title=context.name,
                request=told,
                due_at=None if until is None else datetime.fromisoformat(until),
                due_in=None if for_ms is None else for_ms / 1000,
            )
        )
        return {"waited_until": None if wait.due_at is None else wait.due_at.isoformat()}


def _milliseconds(value: Json) -> int:
    if not is_number(value):
        raise StepFailed(f"for: this must be seconds, but it is {kind(value)}", code="delay_invalid", retryable=False)
    if not 0 <= value * 1000 <= LONGEST_MS:
        message = f"for: {value:g} seconds; it must be between 0 and {LONGEST_MS // 1000}"
        raise StepFailed(message, code="delay_invalid", retryable=False)
    return round(value * 1000)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"until: {text[:100]!r} is no date and time with a zone, such as 2026-01-31T09:00:00Z"
        raise StepFailed(message, code="delay_invalid", retryable=False)
    return moment
