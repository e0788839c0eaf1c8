"""Models that embed and models that rank; what models do outside of executions."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrations.security import SYSTEM_ROLE, protect

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: None = None
depends_on: None = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("models", sa.Column("kind", sa.Text(), server_default="chat", nullable=False))
    op.create_check_constraint(op.f("ck_models_kind"), "models", "kind IN ('chat', 'embedding', 'rerank')")
    op.create_table(
        "model_uses",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("model_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Numeric(18, 9), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.Column("created_by", sa.UUID()),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_model_uses_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_uses")),
    )
    op.create_index("ix_model_uses_model", "model_uses", ["tenant_id", "model_id", "started_at"])
    protect("model_uses")


def downgrade() -> None:
    op.drop_table("model_uses")
    op.execute(f"SET LOCAL ROLE {SYSTEM_ROLE}")
    op.execute("DELETE FROM models WHERE kind <> 'chat'")
    op.execute("RESET ROLE")
    op.drop_constraint(op.f("ck_models_kind"), "models")
    op.drop_column("models", "kind")
