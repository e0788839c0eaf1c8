"""How long what is kept."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrations.security import APP_ROLE, SQL, create_system_functions, drop_functions, protect

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: None = None
depends_on: None = None

_TABLES = ("execution_policies", "pruning")
_DAYS = ("delta_days", "event_days", "call_days", "output_days", "execution_days")
_PARTS = ("deltas", "events", "calls", "outputs")
_TIME = sa.DateTime(timezone=True)

# Called by the last one alone, with its rights.
_INNER_FUNCTIONS = (
    ("ledger_prunable", "ledger_prunable(uuid, text, timestamptz, timestamptz, integer, bigint)"),
    ("ledger_prune_part", "ledger_prune_part(text, uuid[])"),
)
_PRUNE = ("ledger_prune", "ledger_prune(jsonb, double precision, integer, bigint)")

# The claim goes by the lower of the operator's limit and the tenant's own; nothing else in it changes.
_OPERATORS = "SELECT t.id, t.max_running, ("
_LOWER = """SELECT t.id, least(
                    t.max_running, (SELECT p.max_running FROM execution_policies p WHERE p.tenant_id = t.id)
                ) AS max_running, ("""


def upgrade() -> None:
    _create_policies()
    _create_pruning()
    for table in _TABLES:
        protect(table)
    op.add_column("executions", sa.Column("pruned", sa.ARRAY(sa.Text())))
    op.create_index(
        "ix_executions_finished_at",
        "executions",
        ["tenant_id", "finished_at"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    create_system_functions(SQL / "0008", (*_INNER_FUNCTIONS, _PRUNE))
    for _, signature in _INNER_FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM {APP_ROLE}")
    _replace_claim(_OPERATORS, _LOWER)


def _create_policies() -> None:
    op.create_table(
        "execution_policies",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("max_running", sa.Integer()),
        *(sa.Column(name, sa.Integer()) for name in _DAYS),
        sa.Column("updated_by", sa.UUID()),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_execution_policies")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_execution_policies_tenant_id"), ondelete="CASCADE"
        ),
        sa.CheckConstraint("max_running > 0", name=op.f("ck_execution_policies_max_running")),
        sa.CheckConstraint(" AND ".join(f"{name} > 0" for name in _DAYS), name=op.f("ck_execution_policies_days")),
    )


def _create_pruning() -> None:
    op.create_table(
        "pruning",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        *(sa.Column(f"{part}_to", _TIME) for part in _PARTS),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_pruning")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_pruning_tenant_id"), ondelete="CASCADE"),
    )
    op.create_index("ix_pruning_due_at", "pruning", ["due_at"])


def _replace_claim(old: str, new: str) -> None:
    """Made of the function as it stands, so that whatever else it says stays said."""
    before = (SQL / "0003" / "ledger_claim.sql").read_text()
    if before.count(_OPERATORS) != 1:
        raise RuntimeError("ledger_claim does not read the tenant's limit where it used to")
    text = before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    op.execute(text.replace(old, new))


def downgrade() -> None:
    _replace_claim(_OPERATORS, _OPERATORS)
    drop_functions((_PRUNE, *reversed(_INNER_FUNCTIONS)))
    op.drop_index("ix_executions_finished_at", table_name="executions")
    op.drop_column("executions", "pruned")
    for table in reversed(_TABLES):
        op.drop_table(table)
