from typing import Any

from services.orchestration.engine.asking import audience, by_and_at, seconds
from services.orchestration.engine.ports import Action, Answer, StepFailed, WaitKind, WaitRecord, WaitRequest
from services.orchestration.engine.steps.base import CallingStep, ExpressionField, StepContext, TemplateField
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.people import ApprovalConfig
from shared.workflow.expressions import Meter, Scope
from shared.workflow.states import WaitStatus

APPROVED, REJECTED = "approved", "rejected"


class ApprovalStep(CallingStep):
    def __init__(self, config: ApprovalConfig) -> None:
        self._config = config
        self._title = TemplateField("title", config.title)
        self._message = TemplateField("message", config.message)
        self._payload = None if config.payload is None else ExpressionField("payload", config.payload)

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        return {
            "title": self._title.render(scope, meter),
            "message": self._message.render(scope, meter),
            "payload": None if self._payload is None else self._payload.value(scope, meter),
        }

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        wait = await context.calls.wait(
            WaitRequest(
                WaitKind.APPROVAL,
                title=told["title"] or context.name,
                request={"message": told["message"], "payload": told["payload"], "editable": config.editable},
                due_in=seconds(config.expires_in_ms),
                audience=audience(config),
            )
        )
        case, payload, comment = self._decision(wait, told["payload"])
        return {"case": case, "payload": payload, "comment": comment, **by_and_at(wait)}

    def port_of(self, output: Any) -> str | None:
        return output["case"]

    def _decision(self, wait: WaitRecord, payload: Json) -> tuple[str, Json, Json]:
        if wait.status is WaitStatus.EXPIRED:
            return self._expired(), payload, None
        answer = wait.answer or Answer()
        words = answer.value if isinstance(answer.value, str) else None
        match answer.action:
            case Action.ACCEPT:
                return APPROVED, payload, words
            case Action.EDIT if self._config.editable:
                return APPROVED, answer.value, None
            case _:
                return REJECTED, payload, words

    def _expired(self) -> str:
        match self._config.on_expiry:
            case "approve":
                return APPROVED
            case "reject":
                return REJECTED
            case _:
                raise StepFailed("nobody approved or rejected this in time", code="approval_expired", retryable=False)
