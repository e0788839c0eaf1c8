"""Models over the wire. A provider's key goes in and never comes out."""

import re
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from shared.llm.settings import ModelKind, Provider
from shared.web.schemas import Moment, Money, Name, RequestModel, ResponseModel, Timestamp


def _sendable(key: SecretStr) -> SecretStr:
    """Keys travel in a header."""
    if not re.fullmatch(r"[!-~]{1,1000}", key.get_secret_value().strip()):
        raise ValueError("must be 1 to 1000 printable ASCII characters without spaces")
    return SecretStr(key.get_secret_value().strip())


ProviderKey = Annotated[SecretStr, AfterValidator(_sendable)]
Price = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=6, description="USD per million tokens.")]
Instant = Annotated[Moment, Field(ge=datetime.fromisoformat("2000-01-01T00:00:00Z"))]


class ModelIn(RequestModel):
    """What is not given is taken from what is known of the provider's model.

    On a change, an `api_key` that is not given stays as it is, and null takes it away.
    """

    name: Name
    kind: ModelKind = ModelKind.CHAT
    provider: Provider
    model: Name = Field(description="The provider's own name of the model.")
    settings: dict[str, Any] = Field(default={}, description="By the provider's schema, see `/models/providers`.")
    api_key: ProviderKey | None = None
    context_window: int | None = Field(
        default=None,
        ge=256,
        le=100_000_000,
        description="In tokens. Of an embedding model, the longest text that it embeds.",
    )
    supports_tools: bool = True
    input_price: Price | None = None
    output_price: Price | None = None
    is_default: bool = Field(
        default=False, description="The one that new agents start with: a chat model, and one at most."
    )


class ModelOut(ResponseModel):
    """`input_price` and `output_price` are the record's own, the effective ones those that calls are counted by."""

    id: UUID
    name: str
    kind: ModelKind
    provider: Provider
    model: str
    settings: dict[str, Any]
    has_api_key: bool
    api_key_last4: str | None
    context_window: int
    supports_tools: bool
    input_price: Money | None
    output_price: Money | None
    effective_input_price: Money
    effective_output_price: Money
    is_default: bool
    version: int
    created_by: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class ProviderOut(ResponseModel):
    """`settings_schema` is the JSON schema of a model's `settings`. `available` says whether it can be used here, and
    `kinds` what kinds of models can be had there."""

    provider: Provider
    title: str
    kinds: list[ModelKind]
    api_key: Literal["required", "optional", "none"]
    available: bool
    settings_schema: dict[str, Any]


class ModelTested(ResponseModel):
    """`text` holds the first words of a chat model's answer; `dimensions` is of an embedding model, and `scores` are
    those that a rerank model gave two texts."""

    kind: ModelKind
    latency_ms: int
    text: str
    dimensions: int | None
    scores: list[float] | None
    input_tokens: int
    output_tokens: int
    cost: Money


class UsagePeriod(RequestModel):
    """Both ends are times; `to` itself is not included."""

    start: Instant | None = Field(default=None, alias="from")
    end: Instant | None = Field(default=None, alias="to")


class UsageTotals(ResponseModel):
    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    cost: Money


class UsageDay(UsageTotals):
    date: date


class ModelUsage(UsageTotals):
    """What executions, searches and trials spent on the model between `from` and `to`, by days of UTC; days without
    calls are left out."""

    model_id: UUID
    from_: Timestamp = Field(serialization_alias="from")
    to: Timestamp
    days: list[UsageDay]


class ModelSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"
    NAME = "name"
    NAME_DOWN = "-name"
