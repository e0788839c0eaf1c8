"""Tools over the wire."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from shared.kit.json import JsonObject, canonical
from shared.kit.storable import storable
from shared.tools.definitions import TOOL_NAME, HttpToolConfig
from shared.web.schemas import LongText, RequestModel, ResponseModel, Timestamp
from shared.workflow.states import Effect

MAX_CONFIG_BYTES = 64_000


class ToolKind(StrEnum):
    """`builtin` tools come with the product and cannot be changed."""

    BUILTIN = "builtin"
    HTTP = "http"


def _identifier(name: str) -> str:
    if not TOOL_NAME.fullmatch(name):
        raise ValueError("use small letters, digits and _, not beginning with a digit or _, at most 64")
    return name


def _kept_as_it_is(value: JsonObject) -> JsonObject:
    if storable(value) is not value:
        raise ValueError("must not contain NUL characters, half surrogate pairs, huge numbers or endless nesting")
    if len(canonical(value)) > MAX_CONFIG_BYTES:
        raise ValueError(f"must not be larger than {MAX_CONFIG_BYTES:,} bytes")
    return value


def _config(value: HttpToolConfig) -> HttpToolConfig:
    _kept_as_it_is(value.model_dump(by_alias=True, exclude={"connection_id"}))
    return value


ToolIdentifier = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_identifier)]
PlainObject = Annotated[dict[str, Any], AfterValidator(_kept_as_it_is)]


class ToolIn(RequestModel):
    """`effect` says what a repeated call does: nothing (`read`), the same again under the `Idempotency-Key` that is
    sent along (`idempotent`), or harm (`once`)."""

    name: ToolIdentifier
    description: Annotated[LongText, StringConstraints(min_length=1, max_length=2_000)] = Field(
        description="For models: what it does, and when to use it."
    )
    parameters: PlainObject = Field(
        default={"type": "object", "properties": {}}, description="JSON schema of the arguments, an object."
    )
    effect: Effect
    needs_approval: bool = Field(default=False, description="Whether a person is asked before each call.")
    kind: Literal["http"] = "http"
    config: Annotated[HttpToolConfig, AfterValidator(_config)]


class ToolOut(ResponseModel):
    """A built-in tool has no `id`, and nothing of what follows `needs_approval`."""

    id: UUID | None
    name: str
    kind: ToolKind
    description: str
    parameters: dict[str, Any]
    effect: Effect
    needs_approval: bool
    config: HttpToolConfig | None
    version: int | None
    created_by: UUID | None
    created_at: Timestamp | None
    updated_at: Timestamp | None


class ToolTry(RequestModel):
    arguments: dict[str, Any] = Field(default={})
    confirm: bool = Field(default=False, description="Needed for a tool whose effect is `once`.")


class ToolError(ResponseModel):
    code: str
    message: str
    retryable: bool


class ToolTried(ResponseModel):
    """`status` is that of the other system, if it answered; `text` is what a model would be told."""

    status: int | None
    latency_ms: int
    text: str
    error: ToolError | None


class ToolSort(StrEnum):
    NAME = "name"
    NAME_DOWN = "-name"
