"""How long a tenant keeps what its executions leave, and how far that has been carried out."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, TenantOwned, Timestamped

_DAYS = ("delta_days", "event_days", "call_days", "output_days", "execution_days")


class ExecutionPolicyRow(TenantOwned, Timestamped, Base):
    """A tenant without one has the defaults of `shared/executions/retention.py`. Days count from an execution's end;
    null keeps."""

    __tablename__ = "execution_policies"
    __table_args__ = (
        CheckConstraint("max_running > 0", name="max_running"),
        CheckConstraint(" AND ".join(f"{name} > 0" for name in _DAYS), name="days"),
    )

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    # The tenant's own limit, within the operator's `tenants.max_running`.
    max_running: Mapped[int | None]
    delta_days: Mapped[int | None]
    event_days: Mapped[int | None]
    call_days: Mapped[int | None]
    output_days: Mapped[int | None]
    execution_days: Mapped[int | None]
    updated_by: Mapped[UUID | None]


class PruningRow(TenantOwned, Base):
    """What ended before `..._to` has been pruned of that. A worker that prunes for a tenant locks its row."""

    __tablename__ = "pruning"
    __table_args__ = (Index("ix_pruning_due_at", "due_at"),)

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    due_at: Mapped[datetime]
    deltas_to: Mapped[datetime | None]
    events_to: Mapped[datetime | None]
    calls_to: Mapped[datetime | None]
    outputs_to: Mapped[datetime | None]
