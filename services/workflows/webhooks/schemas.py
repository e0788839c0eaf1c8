from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from shared.net.policy import parse_url
from shared.web.schemas import LongText, RequestModel, ResponseModel, Text, Timestamp

MAX_ENDPOINTS = 50
_MAX_URL = 2_000
_MOST_WORKFLOWS = 200


def _url(url: str) -> str:
    parse_url(url)
    return url


def _each_once(events: list["EndEvent"]) -> list["EndEvent"]:
    return sorted(set(events))


class EndEvent(StrEnum):
    """How an execution can end."""

    SUCCEEDED = "execution.succeeded"
    FAILED = "execution.failed"
    CANCELLED = "execution.cancelled"


class DeliveryStatus(StrEnum):
    """`pending` until the endpoint takes it, or it is given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


EndpointUrl = Annotated[Text, StringConstraints(max_length=_MAX_URL), AfterValidator(_url)]
Events = Annotated[list[EndEvent], Field(min_length=1, max_length=len(EndEvent) * 2), AfterValidator(_each_once)]


class EndpointSave(RequestModel):
    """Without `workflow_ids`, the executions of every workflow and those of none."""

    url: EndpointUrl
    events: Events = Field(default_factory=lambda: list(EndEvent))
    workflow_ids: Annotated[list[UUID], Field(min_length=1, max_length=_MOST_WORKFLOWS)] | None = None
    enabled: bool = True
    description: LongText = ""


class EndpointOut(ResponseModel):
    """`disabled_reason` says why it was disabled, when nobody did it. `failing_since` is null while deliveries
    succeed."""

    id: UUID
    url: str
    events: list[EndEvent]
    workflow_ids: list[UUID] | None
    enabled: bool
    description: str
    disabled_reason: str | None
    failing_since: Timestamp | None
    created_by: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class EndpointCreated(EndpointOut):
    """`secret`, by which the endpoint tells our messages from others', is told this once."""

    secret: str


class DeliveryOut(ResponseModel):
    """`webhook_id` is what the endpoint sees, the same with every attempt. `body` is the beginning of what is sent,
    `last_response` that of what came back."""

    id: UUID
    webhook_id: str
    event: str
    execution_id: UUID | None
    status: DeliveryStatus
    attempts: int
    next_attempt_at: Timestamp | None
    last_attempt_at: Timestamp | None
    last_status: int | None
    last_error: str | None
    last_response: str | None
    body: str
    created_at: Timestamp
