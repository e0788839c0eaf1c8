from services.orchestration.engine.asking import audience, by_and_at, seconds
from services.orchestration.engine.ports import Action, Answer, StepFailed, WaitKind, WaitRequest
from services.orchestration.engine.steps.base import CallingStep, StepContext, TemplateField
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.people import QuestionConfig
from shared.workflow.expressions import Meter, Scope
from shared.workflow.states import WaitStatus


class QuestionStep(CallingStep):
    def __init__(self, config: QuestionConfig) -> None:
        self._config = config
        self._title = TemplateField("title", config.title)
        self._question = TemplateField("question", config.question)

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        return {"title": self._title.render(scope, meter), "question": self._question.render(scope, meter)}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        wait = await context.calls.wait(
            WaitRequest(
                WaitKind.QUESTION,
                title=told["title"] or context.name,
                request={
                    "question": told["question"],
                    "answer_schema": config.answer_schema,
                    "choices": None if config.choices is None else list(config.choices),
                },
                due_in=seconds(config.expires_in_ms),
                audience=audience(config),
            )
        )
        if wait.status is WaitStatus.EXPIRED and config.on_expiry == "fail":
            raise StepFailed("nobody answered this in time", code="question_expired", retryable=False)
        answer = wait.answer or Answer()
        answered = answer.action is Action.RESPOND
        return {"answer": answer.value if answered else config.default, "answered": answered, **by_and_at(wait)}
