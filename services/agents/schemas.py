"""Agents over the wire. The limits here hold whatever the model; what the tenant has to have is checked later."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from shared.web.schemas import LongText, Name, RequestModel, ResponseModel, Timestamp

Words = Annotated[LongText, StringConstraints(min_length=1)]
Prompt = Annotated[Name, StringConstraints(max_length=500)]


class AgentIn(RequestModel):
    """`role`, `goal` and `backstory` may ask for inputs of the workflow: `{{ inputs.topic }}`."""

    name: Name
    description: Annotated[LongText, StringConstraints(max_length=2_000)] = ""
    role: Words
    goal: Words
    backstory: LongText = ""
    system_prompt: Words | None = Field(
        default=None,
        description="In place of the text made of the three above, which `{role}`, `{goal}` and `{backstory}` name.",
    )
    model_id: UUID
    tools: list[Name] = Field(default=[], max_length=50, description="Names of tools, see `/tools`.")
    approve_tools: list[Name] = Field(
        default=[],
        max_length=50,
        description="Those of its tools that it may use only when a person has agreed. "
        "Tools that always need approval need not be named.",
    )
    knowledge_base_ids: list[UUID] = Field(default=[], max_length=20)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="Of one answer of the model.")
    max_iterations: int = Field(default=15, ge=1, le=100, description="Turns of the model with tools in one task.")
    allow_delegation: bool = False
    suggested_prompts: list[Prompt] = Field(default=[], max_length=10)


class AgentOut(ResponseModel):
    """`version` goes up with every change."""

    id: UUID
    name: str
    description: str
    role: str
    goal: str
    backstory: str
    system_prompt: str | None
    model_id: UUID
    tools: list[str]
    approve_tools: list[str]
    knowledge_base_ids: list[UUID]
    temperature: float | None
    max_tokens: int | None
    max_iterations: int
    allow_delegation: bool
    suggested_prompts: list[str]
    version: int
    created_by: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class AgentClone(RequestModel):
    name: Name | None = Field(default=None, description="If not given, the agent's own with ` (copy)` after it.")


class AgentTest(RequestModel):
    input: Words = Field(description="What to ask the agent.")


class ToolOut(ResponseModel):
    """A built-in tool. `effect` says what a repeated call does: nothing, the same again, or harm."""

    name: str
    title: str
    description: str
    parameters: dict[str, Any]
    effect: Literal["read", "idempotent", "once"]


class AgentSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"
    NAME = "name"
    NAME_DOWN = "-name"
    CHANGED = "-updated_at"
