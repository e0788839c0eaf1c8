"""A tenant's own tools and the credentials they use."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database.migrations.security import protect

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    _create_connections()
    _create_tools()
    op.add_column("agents", sa.Column("approve_tools", ARRAY(sa.Text()), server_default="{}", nullable=False))


def _create_connections() -> None:
    op.create_table(
        "connections",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("header_name", sa.Text()),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.UUID()),
        *_common("connections"),
        sa.CheckConstraint("kind IN ('bearer', 'basic', 'header')", name=op.f("ck_connections_kind")),
    )
    protect("connections")


def _create_tools() -> None:
    op.create_table(
        "tools",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("needs_approval", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("config", JSONB(), nullable=False),
        sa.Column("connection_id", sa.UUID()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.UUID()),
        *_common("tools"),
        sa.CheckConstraint("effect IN ('read', 'idempotent', 'once')", name=op.f("ck_tools_effect")),
        sa.CheckConstraint("kind IN ('http')", name=op.f("ck_tools_kind")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            name=op.f("fk_tools_tenant_id_connection_id"),
        ),
    )
    op.create_index(op.f("ix_tools_connection_id"), "tools", ["connection_id"])
    protect("tools")


def _common(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    now = sa.func.now()
    return (
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id"), ondelete="CASCADE"),
        sa.UniqueConstraint("tenant_id", "id", name=op.f(f"uq_{table}_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f(f"uq_{table}_tenant_id_name")),
    )


def downgrade() -> None:
    op.drop_column("agents", "approve_tools")
    op.drop_table("tools")
    op.drop_table("connections")
