"""What starts workflows by itself, and who is told when an execution ends."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

from shared.database.migrations.security import SQL, create_system_functions, drop_functions, protect

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: None = None
depends_on: None = None

_TABLES = ("triggers", "webhook_endpoints", "webhook_deliveries")
# File in sql/0005, and the signature by which Postgres knows the function. These may look across tenants.
_FUNCTIONS = (
    ("trigger_take_due", "trigger_take_due()"),
    ("trigger_find_webhook", "trigger_find_webhook(bytea)"),
    ("webhook_claim", "webhook_claim(integer, integer, uuid[], double precision)"),
)
_ON_END = """
CREATE TRIGGER webhook_enqueue AFTER UPDATE OF status ON executions FOR EACH ROW
WHEN (
    NEW.status IN ('succeeded', 'failed', 'cancelled') AND OLD.status <> NEW.status
    AND NEW.parent_id IS NULL AND NEW.depth = 0 AND NEW.kind IN ('workflow', 'agent_job')
)
EXECUTE FUNCTION webhook_enqueue()
"""
_TIME = TIMESTAMP(timezone=True)


def upgrade() -> None:
    _create_triggers()
    _create_endpoints()
    _create_deliveries()
    for table in _TABLES:
        protect(table)
    create_system_functions(SQL / "0005", _FUNCTIONS)
    op.execute((SQL / "0005" / "webhook_enqueue.sql").read_text())
    op.execute(_ON_END)


def _create_triggers() -> None:
    op.create_table(
        "triggers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("workflow_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("workflow_version", sa.Integer()),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("config", JSONB(), nullable=False),
        sa.Column("next_fire_at", _TIME),
        sa.Column("token_hash", sa.LargeBinary()),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("old_secret", sa.LargeBinary()),
        sa.Column("old_secret_until", _TIME),
        sa.Column("last_fired_at", _TIME),
        sa.Column("last_execution_id", sa.UUID()),
        sa.Column("last_error", JSONB()),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_by", sa.UUID()),
        sa.Column("acts_for", sa.UUID(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_triggers")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_triggers_token_hash")),
        sa.CheckConstraint("kind IN ('schedule', 'webhook')", name=op.f("ck_triggers_kind")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_triggers_tenant_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "workflow_id"],
            ["workflows.tenant_id", "workflows.id"],
            name=op.f("fk_triggers_tenant_id_workflow_id"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_triggers_workflow", "triggers", ["tenant_id", "workflow_id", sa.literal_column("id DESC")])
    op.create_index(
        "ix_triggers_due",
        "triggers",
        ["next_fire_at"],
        postgresql_where=sa.text("enabled AND next_fire_at IS NOT NULL"),
    )


def _create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("events", ARRAY(sa.Text()), nullable=False),
        sa.Column("workflow_ids", ARRAY(sa.UUID())),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("failing_since", _TIME),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.UUID()),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_webhook_endpoints_tenant_id_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_webhook_endpoints_tenant_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_webhook_endpoints_enabled", "webhook_endpoints", ["tenant_id"], postgresql_where=sa.text("enabled")
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("endpoint_id", sa.UUID(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.UUID()),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("earlier_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", _TIME, server_default=sa.func.now()),
        sa.Column("last_attempt_at", _TIME),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.Text()),
        sa.Column("last_response", sa.Text()),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_status")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"],
            ["webhook_endpoints.tenant_id", "webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_tenant_id_endpoint_id"),
            ondelete="CASCADE",
        ),
    )
    newest_first = ["endpoint_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")]
    op.create_index("ix_webhook_deliveries_endpoint", "webhook_deliveries", newest_first)
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["tenant_id", "next_attempt_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER webhook_enqueue ON executions")
    op.execute("DROP FUNCTION webhook_enqueue()")
    drop_functions(_FUNCTIONS)
    for table in reversed(_TABLES):
        op.drop_table(table)
