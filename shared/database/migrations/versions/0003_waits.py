"""What executions wait for, what they were made of, and what limits them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from shared.database.migrations.security import (
    SQL,
    create_functions,
    create_system_functions,
    drop_functions,
    protect,
)

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: None = None
depends_on: None = None

_TIME = TIMESTAMP(timezone=True)

_EXECUTION_COLUMNS = (
    sa.Column("pause_requested_at", _TIME),
    sa.Column("wakes", sa.BigInteger(), server_default="0", nullable=False),
    sa.Column("root_id", sa.UUID()),
    sa.Column("depth", sa.SmallInteger(), server_default="0", nullable=False),
    sa.Column("origin_id", sa.UUID()),
    sa.Column("origin", sa.Text()),
    sa.Column("trigger_id", sa.UUID()),
    sa.Column("concurrency_key", sa.UUID()),
    sa.Column("budget", JSONB()),
    sa.Column("claimed_at", _TIME),
    sa.Column("active_ms", sa.BigInteger(), server_default="0", nullable=False),
)

# The queue as a claim reads it: from 0003 on those of each limited workflow stand apart.
_QUEUE = "ix_executions_queue"
_QUEUED = sa.text("status = 'queued'")
_BEFORE = ["lane", "tenant_id", sa.literal_column("priority DESC"), "id"]
_APART = ["lane", "tenant_id", "concurrency_key", sa.literal_column("priority DESC"), "id"]

# Name, columns, and which rows.
_EXECUTION_INDEXES = (
    ("ix_executions_limited_running", ["concurrency_key"], "status = 'running' AND concurrency_key IS NOT NULL"),
    ("ix_executions_root_id", ["root_id"], "root_id IS NOT NULL"),
    ("ix_executions_origin_id", ["origin_id"], "origin_id IS NOT NULL"),
    ("ix_executions_trigger_id", ["trigger_id", "id"], "trigger_id IS NOT NULL"),
)

_WAIT_INDEXES = (
    ("ix_waits_execution_id_id", ["execution_id", "id"], None),
    ("ix_waits_inbox", ["tenant_id", sa.literal_column("id DESC")], "kind NOT IN ('timer', 'child')"),
    ("ix_waits_due", ["due_at"], "status = 'open' AND due_at IS NOT NULL"),
    ("ix_waits_escalate", ["escalate_at"], "status = 'open' AND escalate_at IS NOT NULL AND escalated_at IS NULL"),
    ("ix_waits_untold", ["settled_at"], "status <> 'open' AND NOT told"),
)

# File in sql/0003, and the signature by which Postgres knows the function. These may look across tenants ...
_FUNCTIONS = (
    ("ledger_claim", "ledger_claim(text, text[], integer[], boolean, double precision, integer)"),
    ("ledger_load", "ledger_load(uuid[], bigint[])"),
    ("ledger_hand_back", "ledger_hand_back(text, uuid[])"),
    ("ledger_renew", "ledger_renew(uuid[], bigint[], double precision, boolean)"),
    ("ledger_reap", "ledger_reap(integer)"),
    ("ledger_sweep", "ledger_sweep(integer)"),
    ("ledger_delete_parts", "ledger_delete_parts()"),
)
# ... and these run with the rights of whoever calls them.
_PLAIN_FUNCTIONS = (
    ("ledger_claim_first", "ledger_claim(text, text[], integer[], boolean, double precision)"),
    ("ledger_held_ms", "ledger_held_ms(timestamptz, timestamptz)"),
    ("ledger_end_waits", "ledger_end_waits(uuid[])"),
    ("ledger_settle", "ledger_settle(uuid, text, jsonb)"),
    ("ledger_write_waits", "ledger_write_waits(uuid, uuid[], jsonb)"),
    ("ledger_contradict", "ledger_contradict(uuid[])"),
    ("ledger_write", "ledger_write(uuid, jsonb, jsonb, jsonb, jsonb, jsonb)"),
    ("ledger_wake", "ledger_wake(uuid)"),
    ("ledger_settle_wait", "ledger_settle_wait(uuid, text, jsonb, uuid)"),
    ("ledger_ask_to_stop", "ledger_ask_to_stop(executions)"),
    ("ledger_sweep_execution", "ledger_sweep_execution(executions, integer)"),
    ("ledger_tree", "ledger_tree(uuid)"),
    ("ledger_lock_tree", "ledger_lock_tree(uuid)"),
    ("ledger_cancel", "ledger_cancel(uuid)"),
    ("ledger_pause", "ledger_pause(uuid)"),
    ("ledger_resume", "ledger_resume(uuid)"),
)
# Of 0002, which are other functions from here on: whoever calls them knows nothing of waits.
_REPLACED = (
    ("ledger_claim", "ledger_claim(text, text[], integer[], boolean, double precision)"),
    ("ledger_reap", "ledger_reap(integer)"),
)
_REPLACED_PLAIN = (("ledger_settle", "ledger_settle(uuid, text, jsonb)"),)

# Held to their execution by who writes them, and deleted with it by a trigger: docs/decisions/0012.
_PARTS = ("task_executions", "calls", "execution_events")
_DELETE_PARTS = """
CREATE TRIGGER delete_parts AFTER DELETE ON executions
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION ledger_delete_parts()
"""


def upgrade() -> None:
    for column in _EXECUTION_COLUMNS:
        op.add_column("executions", column)
    op.create_foreign_key(
        op.f("fk_executions_origin_id"), "executions", "executions", ["origin_id"], ["id"], ondelete="SET NULL"
    )
    for name, columns, where in _EXECUTION_INDEXES:
        op.create_index(name, "executions", columns, postgresql_where=sa.text(where))
    op.drop_index(_QUEUE, table_name="executions")
    op.create_index(_QUEUE, "executions", _APART, postgresql_where=_QUEUED)
    op.add_column("calls", sa.Column("copied", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("task_executions", sa.Column("keyed_by", sa.UUID()))
    op.add_column("workflows", sa.Column("max_running", sa.Integer()))
    _create_waits()
    drop_functions((*_REPLACED, *_REPLACED_PLAIN))
    create_system_functions(SQL / "0003", _FUNCTIONS)
    create_functions(SQL / "0003", _PLAIN_FUNCTIONS)
    op.execute(_DELETE_PARTS)
    for part in _PARTS:
        op.drop_constraint(op.f(f"fk_{part}_tenant_id_execution_id"), part, type_="foreignkey")


def _create_waits() -> None:
    op.create_table(
        "waits",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("execution_id", sa.UUID(), nullable=False),
        sa.Column("step_id", sa.UUID(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("request", JSONB()),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("due_at", _TIME),
        sa.Column("assignee_user_id", sa.UUID()),
        sa.Column("assignee_role", sa.Text()),
        sa.Column("escalate_at", _TIME),
        sa.Column("escalate_user_id", sa.UUID()),
        sa.Column("escalate_role", sa.Text()),
        sa.Column("escalated_at", _TIME),
        sa.Column("answer", JSONB()),
        sa.Column("answered_by", sa.UUID()),
        sa.Column("settled_at", _TIME),
        sa.Column("told", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waits")),
        sa.UniqueConstraint("step_id", "key", name=op.f("uq_waits_step_id_key")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_waits_tenant_id_id")),
        sa.CheckConstraint("status IN ('open', 'answered', 'expired', 'closed')", name=op.f("ck_waits_status")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "execution_id"],
            ["executions.tenant_id", "executions.id"],
            name=op.f("fk_waits_tenant_id_execution_id"),
            ondelete="CASCADE",
        ),
    )
    for name, columns, where in _WAIT_INDEXES:
        op.create_index(name, "waits", columns, postgresql_where=None if where is None else sa.text(where))
    protect("waits")


def downgrade() -> None:
    for part in _PARTS:
        op.create_foreign_key(
            op.f(f"fk_{part}_tenant_id_execution_id"),
            part,
            "executions",
            ["tenant_id", "execution_id"],
            ["tenant_id", "id"],
            ondelete="CASCADE",
        )
    op.execute("DROP TRIGGER delete_parts ON executions")
    drop_functions((*_FUNCTIONS, *reversed(_PLAIN_FUNCTIONS)))
    create_system_functions(SQL, _REPLACED)
    create_functions(SQL, _REPLACED_PLAIN)
    op.drop_index(_QUEUE, table_name="executions")
    op.create_index(_QUEUE, "executions", _BEFORE, postgresql_where=_QUEUED)
    op.drop_table("waits")
    op.drop_column("workflows", "max_running")
    op.drop_column("task_executions", "keyed_by")
    op.drop_column("calls", "copied")
    for name, _, _ in reversed(_EXECUTION_INDEXES):
        op.drop_index(name, table_name="executions")
    op.drop_constraint(op.f("fk_executions_origin_id"), "executions", type_="foreignkey")
    for column in reversed(_EXECUTION_COLUMNS):
        op.drop_column("executions", column.name)
