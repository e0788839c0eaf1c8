"""A model record, ready to be talked to."""

from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from shared.llm.settings import ModelKind, Provider, ProviderSettings
from shared.llm.types import Usage

_PER = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)

    def of(self, input_tokens: int, output_tokens: int) -> Usage:
        cost = (self.input * input_tokens + self.output * output_tokens) / _PER
        return Usage(input_tokens, output_tokens, cost)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`version` goes up with every change of the record: clients are cached by `(id, version)`.

    `name` is the tenant's word for the record, `model` the provider's. `api_key` never shows in a repr.
    """

    tenant_id: UUID
    id: UUID
    version: int
    name: str
    provider: Provider
    model: str
    settings: ProviderSettings
    context_window: int
    supports_tools: bool
    price: Price = Price()
    api_key: str | None = field(default=None, repr=False)
    kind: ModelKind = ModelKind.CHAT

    @property
    def label(self) -> str:
        """How errors name the provider."""
        return f"{self.provider} ({self.model})"
