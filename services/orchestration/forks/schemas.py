"""How an execution is retried, run again or forked."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from shared.executions.schemas import Priority
from shared.kit.json import JsonObject
from shared.web.schemas import LongText, RequestModel, Text
from shared.workflow.graph import IDENTIFIER

Words = Annotated[LongText, StringConstraints(min_length=1)]
NodeId = Annotated[str, StringConstraints(pattern=rf"^{IDENTIFIER.pattern}$")]
# In the bodies of maps and loops: `each[3]/inner[0]`.
Path = Annotated[Text, StringConstraints(max_length=2_000)]
_SourcePriority = Annotated[Priority | None, Field(description="If not given, that of the execution it is made of.")]


class RetryRequest(RequestModel):
    priority: _SourcePriority = None


class RerunRequest(RequestModel):
    """Without `inputs` they are the same. `same` runs what was run then, `latest` what the workflow and its agents are
    now."""

    inputs: JsonObject | None = None
    version: Literal["same", "latest"] = "same"
    priority: _SourcePriority = None


class FromStep(RequestModel):
    """This step, and all that comes after it, is run again."""

    node: NodeId
    path: Path = ""


class FromCall(RequestModel):
    """The step that made this call goes on as from there: what it called before stays."""

    call_id: UUID


class AgentChange(RequestModel):
    """What an agent of the execution is in the fork. A field that is not given stays; null takes a value away."""

    role: Words | None = None
    goal: Words | None = None
    backstory: LongText | None = None
    system_prompt: Words | None = None
    model_id: UUID | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    max_iterations: int | None = Field(default=None, ge=1, le=100)

    @model_validator(mode="after")
    def _keeps_what_it_needs(self) -> Self:
        for name in ("role", "goal", "backstory", "model_id", "max_iterations"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be taken away")
        return self

    def given(self) -> JsonObject:
        return self.model_dump(mode="json", exclude_unset=True)


class Overrides(RequestModel):
    """`nodes`: by node id, a JSON Merge Patch (RFC 7396) of the node's config."""

    nodes: dict[NodeId, JsonObject] = Field(default={}, max_length=100)
    agents: dict[UUID, AgentChange] = Field(default={}, max_length=100)


class ForkRequest(RequestModel):
    """`answer` takes the place of the step's output, or of the call's response: text for a model or a tool."""

    begin: FromStep | FromCall = Field(alias="from")
    inputs: JsonObject | None = None
    overrides: Overrides = Field(default_factory=Overrides)
    answer: Any = None
    priority: _SourcePriority = None

    @property
    def has_answer(self) -> bool:
        return "answer" in self.model_fields_set
