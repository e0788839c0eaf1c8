from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from services.workflows.schemas import VersionNumber
from shared.executions.schemas import Priority
from shared.kit.json import JsonObject
from shared.kit.storable import storable
from shared.triggers.schedule import MAX_CRON, Missed, check_cron, check_time_zone
from shared.web.errors import ErrorDetail
from shared.web.schemas import Name, RequestModel, ResponseModel, Text, Timestamp
from shared.workflow.expressions import ExpressionError, compile_expression

# What the expressions of a webhook's inputs see.
HOOK_ROOTS = ("body", "headers", "query")
_MOST_INPUTS = 100
_MAX_GRACE = 7 * 24 * 3600
_A_DAY = 24 * 3600


def _as_it_is(value: JsonObject) -> JsonObject:
    if storable(value) is not value:
        raise ValueError("must not contain NUL characters, half surrogate pairs, huge numbers or endless nesting")
    return value


def _compilable(source: str) -> str:
    try:
        compile_expression(source, HOOK_ROOTS)
    except ExpressionError as broken:
        raise ValueError(broken.message) from None
    return source


Cron = Annotated[str, StringConstraints(max_length=MAX_CRON), AfterValidator(check_cron)]
TimeZone = Annotated[str, AfterValidator(check_time_zone)]
StoredInputs = Annotated[dict[str, Any], AfterValidator(_as_it_is)]
HookExpression = Annotated[Text, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_compilable)]


class TriggerKind(StrEnum):
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"


class Verification(StrEnum):
    """Whether a delivery must be signed with the trigger's secret, or knowing the URL is enough."""

    SIGNATURE = "signature"
    TOKEN_ONLY = "token_only"


class ScheduleConfig(RequestModel):
    """`cron` has five fields and goes by the clocks of `time_zone`. `missed` says what becomes of the times that
    passed while nothing ran; of `all` at most the last hundred are made up for."""

    cron: Cron
    time_zone: TimeZone = "UTC"
    inputs: StoredInputs = Field(default_factory=dict)
    missed: Missed = Missed.LAST


class WebhookConfig(RequestModel):
    """`inputs` are CEL expressions over `body`, `headers` (their names in lower case) and `query`, by the input they
    give. Without them the body is the inputs."""

    verification: Verification = Verification.SIGNATURE
    inputs: Annotated[dict[Name, HookExpression], Field(max_length=_MOST_INPUTS)] | None = None


class TriggerSave(RequestModel):
    """With `schedule` or `webhook`, as `kind` says. Without `version` it starts the latest."""

    name: Name
    kind: TriggerKind
    enabled: bool = True
    version: VersionNumber | None = None
    priority: Priority = 0
    schedule: ScheduleConfig | None = None
    webhook: WebhookConfig | None = None

    @model_validator(mode="after")
    def _has_its_config(self) -> Self:
        given = {kind for kind, config in zip(TriggerKind, (self.schedule, self.webhook), strict=True) if config}
        if given != {self.kind}:
            raise ValueError(f"a trigger of kind {self.kind} takes `{self.kind}`, and nothing of the other kind")
        return self

    @property
    def config(self) -> JsonObject:
        chosen = self.schedule or self.webhook
        assert chosen is not None, "checked above"
        return chosen.model_dump(mode="json")


class PreviewRequest(RequestModel):
    cron: Cron
    time_zone: TimeZone = "UTC"
    count: Annotated[int, Field(ge=1, le=25)] = 5


class FireTime(ResponseModel):
    """`local` is the time on the clocks of the time zone, with their offset."""

    at: Timestamp
    local: str


class Preview(ResponseModel):
    times: list[FireTime]


class TriggerFailure(ResponseModel):
    """Why the last firing started nothing."""

    code: str
    message: str
    details: list[ErrorDetail]
    at: Timestamp


class ScheduleOut(ResponseModel):
    cron: str
    time_zone: str
    inputs: dict[str, Any]
    missed: Missed


class WebhookOut(ResponseModel):
    """Until `old_secret_until` the secret before the last rotation is good too."""

    verification: Verification
    inputs: dict[str, str] | None
    old_secret_until: Timestamp | None


class TriggerSummary(ResponseModel):
    """`failures` counts the firings since the last that started something. It starts workflows for the person
    `acts_for`: who made it, or saved or enabled it last."""

    id: UUID
    workflow_id: UUID
    name: str
    kind: TriggerKind
    enabled: bool
    version: int | None
    priority: int
    schedule: ScheduleOut | None
    webhook: WebhookOut | None
    next_fire_at: Timestamp | None
    last_fired_at: Timestamp | None
    last_execution_id: UUID | None
    last_error: TriggerFailure | None
    failures: int
    created_by: UUID | None
    acts_for: UUID
    created_at: Timestamp
    updated_at: Timestamp


class TriggerOut(TriggerSummary):
    next_fire_times: list[FireTime]


class TriggerCreated(TriggerOut):
    """`url` and `secret`, of a webhook, are told this once."""

    url: str | None
    secret: str | None


class RotateRequest(RequestModel):
    """`grace_seconds`: how long the old secret stays good."""

    grace_seconds: Annotated[int, Field(ge=0, le=_MAX_GRACE)] = _A_DAY


class Rotated(ResponseModel):
    """`secret` is told this once."""

    secret: str
    old_secret_until: Timestamp


class TriggerTest(RequestModel):
    """What a webhook is sent; a schedule takes its own inputs."""

    body: JsonValue = Field(default_factory=dict[str, JsonValue])


class HookAccepted(ResponseModel):
    execution_id: UUID
