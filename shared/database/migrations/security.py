"""Row-level security as migrations apply it: the roles, and the policies every tenant table gets."""

from collections.abc import Iterable
from pathlib import Path

from alembic import op

APP_ROLE = "quarterdeck_app"
SYSTEM_ROLE = "quarterdeck_system"

# The SQL of a migration's functions stands in a folder of files.
SQL = Path(__file__).parent / "sql"
# The name of its file, and the signature by which Postgres knows the function.
Function = tuple[str, str]

CURRENT_TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
CURRENT_USER = "nullif(current_setting('app.user_id', true), '')::uuid"


def create_roles() -> None:
    """The application's role owns nothing and bypasses nothing; the system role owns a few named functions.

    Roles belong to the server, not to the database, so another database may have made them already. The role
    that migrates joins the system role because it must be able to hand functions to it.
    """
    for role in (APP_ROLE, SYSTEM_ROLE):
        op.execute(
            f"""
            DO $$ BEGIN
                CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$
            """
        )
    op.execute(
        f"""
        DO $$ BEGIN
            IF NOT pg_has_role(current_user, '{SYSTEM_ROLE}', 'MEMBER') THEN
                EXECUTE format('GRANT {SYSTEM_ROLE} TO %I', current_user);
            END IF;
        END $$
        """
    )
    op.execute(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}, {SYSTEM_ROLE}")


def protect(table: str, *, using: str | None = None, check: str | None = None) -> None:
    """Forced row-level security on `table`: the application sees the current tenant's rows only."""
    mine = f"tenant_id = {CURRENT_TENANT}"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} TO {APP_ROLE} USING ({using or mine}) WITH CHECK ({check or mine})")
    op.execute(f"CREATE POLICY system ON {table} TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP_ROLE}, {SYSTEM_ROLE}")


def create_functions(folder: Path, functions: Iterable[Function]) -> None:
    """Functions that run with the rights of whoever calls them: the application, or the system in one of its own."""
    for name, signature in functions:
        op.execute((folder / f"{name}.sql").read_text())
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {APP_ROLE}, {SYSTEM_ROLE}")


def create_system_functions(folder: Path, functions: Iterable[Function]) -> None:
    """SECURITY DEFINER functions, which may look across tenants: they run as the system role, callable by the
    application alone."""
    # A function can be handed only to a role that may create in the schema.
    op.execute(f"GRANT CREATE ON SCHEMA public TO {SYSTEM_ROLE}")
    for name, signature in functions:
        op.execute((folder / f"{name}.sql").read_text())
        op.execute(f"ALTER FUNCTION {signature} OWNER TO {SYSTEM_ROLE}")
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {APP_ROLE}")
    op.execute(f"REVOKE CREATE ON SCHEMA public FROM {SYSTEM_ROLE}")


def drop_functions(functions: Iterable[Function]) -> None:
    for _, signature in functions:
        op.execute(f"DROP FUNCTION {signature}")
