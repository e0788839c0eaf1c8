"""Tables of the models service: model records of a tenant, and what they did outside of executions."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, Numeric, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Model(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("kind IN ('chat', 'embedding', 'rerank')", name="kind"),
    )

    # What it can be asked for: `ModelKind`.
    kind: Mapped[str] = mapped_column(Text, default="chat", server_default="chat")
    name: Mapped[str] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(Text)
    # The provider's own name of the model, such as "gpt-4.1-mini".
    model: Mapped[str] = mapped_column(Text)
    settings: Mapped[dict[str, Any]]
    # AES-256-GCM, bound to tenant, table, column and row; see shared/security/encryption.py.
    api_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    api_key_last4: Mapped[str | None] = mapped_column(Text)
    # Of an embedding model the longest text that it embeds.
    context_window: Mapped[int]
    supports_tools: Mapped[bool]
    # USD per million tokens; null means the price table's figure.
    input_price: Mapped[Decimal | None] = mapped_column(Numeric(12, 6))
    output_price: Mapped[Decimal | None] = mapped_column(Numeric(12, 6))
    is_default: Mapped[bool] = mapped_column(default=False, server_default="false")
    # Goes up with every change: caches of clients are keyed by it.
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_by: Mapped[UUID | None]


class ModelUse(Identified, TenantOwned, Base):
    """A call of a model outside of executions: somebody tried it out, or asked a knowledge base something. Those within
    executions are in the journal."""

    __tablename__ = "model_uses"
    __table_args__ = (Index("ix_model_uses_model", "tenant_id", "model_id", "started_at"),)

    # Stands on when the model is gone, as calls do.
    model_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(Text)
    # What it was for, such as "test" or "search".
    purpose: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 9))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    created_by: Mapped[UUID | None]
