"""Table of the models service: LLM records of a tenant."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, Numeric, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Model(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("tenant_id", "id"), UniqueConstraint("tenant_id", "name"))

    name: Mapped[str] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(Text)
    # The provider's own name of the model, such as "gpt-4.1-mini".
    model: Mapped[str] = mapped_column(Text)
    settings: Mapped[dict[str, Any]]
    # AES-256-GCM, bound to tenant, table, column and row; see shared/security/encryption.py.
    api_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    api_key_last4: Mapped[str | None] = mapped_column(Text)
    context_window: Mapped[int]
    supports_tools: Mapped[bool]
    # USD per million tokens; null means the price table's figure.
    input_price: Mapped[Decimal | None] = mapped_column(Numeric(12, 6))
    output_price: Mapped[Decimal | None] = mapped_column(Numeric(12, 6))
    is_default: Mapped[bool] = mapped_column(default=False, server_default="false")
    # Goes up with every change: caches of clients are keyed by it.
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_by: Mapped[UUID | None]
