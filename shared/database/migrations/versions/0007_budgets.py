"""Budgets, and what is reserved of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

from shared.database.migrations.security import SQL, create_functions, create_system_functions, drop_functions, protect

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: None = None
depends_on: None = None

_TABLES = ("budgets", "budget_periods", "budget_reservations")
_PLAIN_FUNCTIONS = (
    ("budget_period_start", "budget_period_start(text)"),
    ("budget_release", "budget_release(uuid)"),
    ("budget_reserve", "budget_reserve(uuid, uuid, uuid, uuid, uuid, uuid, uuid, bigint, numeric, boolean)"),
    ("budget_settle", "budget_settle(uuid, uuid[], bigint[], numeric[])"),
    ("budget_recover", "budget_recover(uuid, uuid)"),
)
_RECONCILE = ("budget_reconcile", "budget_reconcile(double precision)")
_MONEY = sa.Numeric(18, 9)


def upgrade() -> None:
    _create_budgets()
    _create_periods()
    _create_reservations()
    for table in _TABLES:
        protect(table)
    create_functions(SQL / "0007", _PLAIN_FUNCTIONS)
    create_system_functions(SQL / "0007", (_RECONCILE,))


def _tenant(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_tenant_id")
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=name, ondelete="CASCADE")


def _of_budget(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_tenant_id_budget_id")
    return sa.ForeignKeyConstraint(
        ["tenant_id", "budget_id"], ["budgets.tenant_id", "budgets.id"], name=name, ondelete="CASCADE"
    )


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.UUID()),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("tokens", sa.BigInteger()),
        sa.Column("cost", _MONEY),
        sa.Column("calls", sa.BigInteger()),
        sa.Column("on_exceeded", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("created_by", sa.UUID()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_budgets_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_budgets_tenant_id_name")),
        sa.CheckConstraint(
            "scope IN ('tenant', 'workflow', 'agent', 'model', 'execution')", name=op.f("ck_budgets_scope")
        ),
        sa.CheckConstraint("(scope = 'tenant') = (scope_id IS NULL)", name=op.f("ck_budgets_scope_id")),
        sa.CheckConstraint("period IN ('day', 'month', 'total')", name=op.f("ck_budgets_period")),
        _tenant("budgets"),
    )
    op.create_index("ix_budgets_scope_id", "budgets", ["scope_id"])


def _create_periods() -> None:
    op.create_table(
        "budget_periods",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("budget_id", sa.UUID(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        *(
            sa.Column(f"{prefix}{name}", type_, server_default="0", nullable=False)
            for prefix in ("", "reserved_")
            for name, type_ in (("tokens", sa.BigInteger()), ("cost", _MONEY), ("calls", sa.BigInteger()))
        ),
        sa.PrimaryKeyConstraint("budget_id", "starts_on", name=op.f("pk_budget_periods")),
        _tenant("budget_periods"),
        _of_budget("budget_periods"),
    )


def _create_reservations() -> None:
    op.create_table(
        "budget_reservations",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("call_id", sa.UUID(), nullable=False),
        sa.Column("budget_id", sa.UUID(), nullable=False),
        sa.Column("execution_id", sa.UUID(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", _MONEY, nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "budget_id", name=op.f("pk_budget_reservations")),
        _tenant("budget_reservations"),
        _of_budget("budget_reservations"),
    )
    for column in ("created_at", "execution_id"):
        op.create_index(f"ix_budget_reservations_{column}", "budget_reservations", [column])


def downgrade() -> None:
    drop_functions((_RECONCILE, *reversed(_PLAIN_FUNCTIONS)))
    for table in reversed(_TABLES):
        op.drop_table(table)
