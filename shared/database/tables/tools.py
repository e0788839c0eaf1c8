"""Tables of the tools service: a tenant's own tools, and the credentials they use."""

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Connection(Identified, TenantOwned, Timestamped, Base):
    """A credential, and the one host that it may be sent to."""

    __tablename__ = "connections"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("kind IN ('bearer', 'basic', 'header')", name="kind"),
    )

    name: Mapped[str] = mapped_column(Text)
    # "host" or "host:port", in lower case.
    host: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    header_name: Mapped[str | None] = mapped_column(Text)
    # AES-256-GCM, bound to tenant, table, column and row; see shared/security/encryption.py.
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[UUID | None]


class Tool(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "tools"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("effect IN ('read', 'idempotent', 'once')", name="effect"),
        CheckConstraint("kind IN ('http')", name="kind"),
        # References carry the tenant, so that a row can never point into another one.
        ForeignKeyConstraint(["tenant_id", "connection_id"], ["connections.tenant_id", "connections.id"]),
    )

    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    parameters: Mapped[dict[str, Any]]
    effect: Mapped[str] = mapped_column(Text)
    needs_approval: Mapped[bool]
    kind: Mapped[str] = mapped_column(Text)
    # All of `HttpToolConfig` but its connection, which is a column of its own.
    config: Mapped[dict[str, Any]]
    connection_id: Mapped[UUID | None] = mapped_column(index=True)
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_by: Mapped[UUID | None]
