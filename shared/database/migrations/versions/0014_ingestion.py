"""What ingestion remembers of its work, and looks for across tenants."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrations.security import SQL, create_system_functions, drop_functions, protect

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: None = None
depends_on: None = None

_FUNCTIONS = (
    ("knowledge_untidy", "knowledge_untidy()"),
    ("knowledge_filled_indexes", "knowledge_filled_indexes()"),
)


def upgrade() -> None:
    op.create_table(
        "document_recognitions",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("version_id", sa.UUID(), nullable=False),
        sa.Column("languages", sa.Text(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "languages", "page", name=op.f("pk_document_recognitions")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_document_recognitions_tenant_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "version_id"],
            ["document_versions.tenant_id", "document_versions.id"],
            name=op.f("fk_document_recognitions_tenant_id_version_id"),
            ondelete="CASCADE",
        ),
    )
    protect("document_recognitions")
    op.create_index(
        "ix_documents_open",
        "documents",
        ["execution_id"],
        postgresql_where=sa.text("status IN ('pending', 'processing')"),
    )
    create_system_functions(SQL / "0014", _FUNCTIONS)


def downgrade() -> None:
    drop_functions(_FUNCTIONS)
    op.drop_index("ix_documents_open", table_name="documents")
    op.drop_table("document_recognitions")
