"""Row-level security on every tenant table, and the few functions that may look across tenants."""

from alembic import op

from shared.database.migrations.security import (
    APP_ROLE,
    CURRENT_TENANT,
    CURRENT_USER,
    SQL,
    SYSTEM_ROLE,
    create_functions,
    create_roles,
    create_system_functions,
    drop_functions,
    protect,
)

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: None = None
depends_on: None = None

TENANT_TABLES = (
    "models",
    "agents",
    "agent_knowledge_bases",
    "knowledge_bases",
    "documents",
    "document_contents",
    "chunks",
    "knowledge_purges",
    "workflows",
    "workflow_versions",
    "executions",
    "task_executions",
    "calls",
    "execution_events",
    "login_sessions",
    "refresh_tokens",
    "api_keys",
)

# File in sql/, and the signature by which Postgres knows the function. These may look across tenants ...
FUNCTIONS = (
    ("auth_find_user", "auth_find_user(text)"),
    ("auth_find_refresh_token", "auth_find_refresh_token(bytea)"),
    ("auth_find_api_key", "auth_find_api_key(uuid)"),
    ("knowledge_overdue_purges", "knowledge_overdue_purges(double precision)"),
    ("ledger_claim", "ledger_claim(text, text[], integer[], boolean, double precision)"),
    ("ledger_open", "ledger_open(uuid[], bigint[])"),
    ("ledger_heartbeat", "ledger_heartbeat(uuid[], bigint[], double precision)"),
    ("ledger_reap", "ledger_reap(integer)"),
)
# ... and these run with the rights of whoever calls them.
PLAIN_FUNCTIONS = (
    ("ledger_settle", "ledger_settle(uuid, text, jsonb)"),
    ("ledger_write", "ledger_write(uuid, jsonb, jsonb, jsonb, jsonb)"),
)


def upgrade() -> None:
    create_roles()
    for table in TENANT_TABLES:
        protect(table)
    protect(
        "memberships",
        using=f"tenant_id = {CURRENT_TENANT} OR user_id = {CURRENT_USER}",
        check=f"tenant_id = {CURRENT_TENANT}",
    )
    protect(
        "tenants",
        using=f"id = {CURRENT_TENANT} OR EXISTS (SELECT 1 FROM memberships m"
        f" WHERE m.tenant_id = tenants.id AND m.user_id = {CURRENT_USER})",
        check=f"id = {CURRENT_TENANT}",
    )
    # A person is seen by himself and by those who share the current tenant with him; changed by himself alone.
    protect(
        "users",
        using=f"id = {CURRENT_USER} OR EXISTS (SELECT 1 FROM memberships m"
        f" WHERE m.user_id = users.id AND m.tenant_id = {CURRENT_TENANT})",
        check=f"id = {CURRENT_USER}",
    )
    # No route removes a tenant or a person; what the application never does, it may not do.
    op.execute(f"REVOKE DELETE ON tenants, users FROM {APP_ROLE}")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON signing_keys TO {APP_ROLE}")
    create_functions(SQL, PLAIN_FUNCTIONS)
    create_system_functions(SQL, FUNCTIONS)


def downgrade() -> None:
    drop_functions((*FUNCTIONS, *PLAIN_FUNCTIONS))
    op.execute(f"REVOKE ALL ON signing_keys FROM {APP_ROLE}")
    for table in (*TENANT_TABLES, "users", "tenants", "memberships"):
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"DROP POLICY system ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM {APP_ROLE}, {SYSTEM_ROLE}")
    # The roles stay: they belong to the server and may serve other databases on it.
