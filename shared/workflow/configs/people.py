"""Nodes that ask a person."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from shared.workflow.configs.base import About, Config, NodeConfig
from shared.workflow.states import WaitKind
from shared.workflow.texts import Cel, JsonSchema, TemplateText

LONGEST_MS = 366 * 24 * 3600 * 1000

RoleName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Choice = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Assignee(Config):
    """One person, or everybody of a role."""

    user_id: UUID | None = None
    role: RoleName | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.user_id is None) == (self.role is None):
            raise ValueError("give either user_id or role")
        return self


class Escalation(Config):
    """Who is asked in place of the first when nothing was answered for so long."""

    after_ms: int = Field(ge=1, le=LONGEST_MS)
    assignee: Assignee


class AskingConfig(NodeConfig):
    """What all that ask a person have in common. Without an assignee, whoever may answer inbox items is asked."""

    assignee: Assignee | None = None
    expires_in_ms: int | None = Field(default=None, ge=1, le=LONGEST_MS)
    escalate: Escalation | None = None

    @model_validator(mode="after")
    def _escalates_in_time(self) -> Self:
        if self.escalate and self.expires_in_ms is not None and self.escalate.after_ms >= self.expires_in_ms:
            raise ValueError("escalate.after_ms must be less than expires_in_ms")
        return self


class ApprovalConfig(AskingConfig):
    """Asks whether to go on. Output: `{"case", "payload", "comment", "by", "at"}`; edges leave by the port `approved`
    or `rejected`. An `editable` payload may be changed by whoever approves it."""

    about = About("Approval", asks=(WaitKind.APPROVAL,), ports=("approved", "rejected"))

    title: TemplateText = Field(min_length=1)
    message: TemplateText = ""
    payload: Cel | None = None
    editable: bool = False
    on_expiry: Literal["fail", "approve", "reject"] = "fail"


class QuestionConfig(AskingConfig):
    """Asks for an answer: free, one of `choices`, or JSON of a schema. Output: `{"answer", "answered", "by", "at"}`;
    `default` is the answer when there is none."""

    about = About("Question", asks=(WaitKind.QUESTION,))

    title: TemplateText = ""
    question: TemplateText = Field(min_length=1)
    answer_schema: JsonSchema | None = None
    choices: tuple[Choice, ...] | None = Field(default=None, min_length=1, max_length=50)
    on_expiry: Literal["fail", "continue"] = "fail"
    default: Any = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.choices is None:
            return self
        if self.answer_schema is not None:
            raise ValueError("give either choices or answer_schema")
        if self.default is not None and self.default not in self.choices:
            raise ValueError("the default is none of the choices")
        return self
