"""Budgets of the models service: what may be spent in a period, what was, and what calls under way may still spend."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, Numeric, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Budget(Identified, TenantOwned, Timestamped, Base):
    """Of a tenant, or of one workflow, agent or model of it, or of one execution with all that it starts: that one is
    made of `executions.budget` when its first call is made. A limit that is null does not limit.
    """

    __tablename__ = "budgets"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("scope IN ('tenant', 'workflow', 'agent', 'model', 'execution')", name="scope"),
        CheckConstraint("(scope = 'tenant') = (scope_id IS NULL)", name="scope_id"),
        CheckConstraint("period IN ('day', 'month', 'total')", name="period"),
        Index("ix_budgets_scope_id", "scope_id"),
    )

    name: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    scope_id: Mapped[UUID | None]
    # In UTC.
    period: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost: Mapped[Decimal | None] = mapped_column(Numeric(18, 9))
    calls: Mapped[int | None] = mapped_column(BigInteger)
    # What becomes of a call that would exceed it: its step fails, or a person is asked.
    on_exceeded: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(default=True, server_default="true")
    created_by: Mapped[UUID | None]


class BudgetPeriod(TenantOwned, Base):
    """What was spent of a budget since `starts_on`, and what is held back for calls under way."""

    __tablename__ = "budget_periods"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "budget_id"], ["budgets.tenant_id", "budgets.id"], ondelete="CASCADE"),
    )

    budget_id: Mapped[UUID] = mapped_column(primary_key=True)
    starts_on: Mapped[date] = mapped_column(primary_key=True)
    tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 9), default=0, server_default="0")
    calls: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    reserved_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    reserved_cost: Mapped[Decimal] = mapped_column(Numeric(18, 9), default=0, server_default="0")
    reserved_calls: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class BudgetReservation(TenantOwned, Base):
    """What one call under way may spend of one budget. It goes when the call is settled."""

    __tablename__ = "budget_reservations"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "budget_id"], ["budgets.tenant_id", "budgets.id"], ondelete="CASCADE"),
        Index("ix_budget_reservations_created_at", "created_at"),
        Index("ix_budget_reservations_execution_id", "execution_id"),
    )

    call_id: Mapped[UUID] = mapped_column(primary_key=True)
    budget_id: Mapped[UUID] = mapped_column(primary_key=True)
    execution_id: Mapped[UUID]
    starts_on: Mapped[date]
    tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 9))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
