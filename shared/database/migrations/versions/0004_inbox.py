"""Who has read which inbox item."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

from shared.database.migrations.security import protect

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "inbox_reads",
        sa.Column("wait_id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("read_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("wait_id", "user_id", name=op.f("pk_inbox_reads")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "wait_id"],
            ["waits.tenant_id", "waits.id"],
            name=op.f("fk_inbox_reads_tenant_id_wait_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_inbox_reads_user_id"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_inbox_reads_user_id"), "inbox_reads", ["user_id"])
    op.create_index(
        "ix_waits_open_items",
        "waits",
        ["tenant_id", sa.literal_column("id DESC")],
        postgresql_where=sa.text("status = 'open' AND kind NOT IN ('timer', 'child')"),
    )
    protect("inbox_reads")


def downgrade() -> None:
    op.drop_index("ix_waits_open_items", table_name="waits")
    op.drop_table("inbox_reads")
