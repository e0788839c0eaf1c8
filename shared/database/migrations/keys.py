"""Foreign keys as tenant tables have them."""

import sqlalchemy as sa
from alembic import op


def of_tenant(table: str) -> sa.ForeignKeyConstraint:
    """Rows go with their tenant."""
    return sa.ForeignKeyConstraint(
        ["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id"), ondelete="CASCADE"
    )


def part_of(table: str, column: str, whole: str) -> sa.ForeignKeyConstraint:
    """Rows go with the row that `column` names, which is of the same tenant."""
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{whole}.tenant_id", f"{whole}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
        ondelete="CASCADE",
    )
