"""Tables of the workflows service. A version never changes once it is written."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Workflow(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "workflows"
    __table_args__ = (UniqueConstraint("tenant_id", "id"),)

    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    latest_version: Mapped[int]
    # How many of its executions may run at once; null: as many as the tenant may.
    max_running: Mapped[int | None]
    created_by: Mapped[UUID | None]


class WorkflowVersion(TenantOwned, Base):
    __tablename__ = "workflow_versions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "workflow_id"], ["workflows.tenant_id", "workflows.id"], ondelete="CASCADE"),
    )

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    graph: Mapped[dict[str, Any]]
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
