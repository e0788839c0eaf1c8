"""Limits of documents; documents of an archive by their place in it."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrations.security import SQL, create_system_functions, drop_functions, protect

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: None = None
depends_on: None = None

_FUNCTIONS = (("knowledge_take_due_page", "knowledge_take_due_page()"),)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "knowledge_limits",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("max_file_bytes", sa.BigInteger()),
        sa.Column("max_documents", sa.BigInteger()),
        sa.Column("max_bytes", sa.BigInteger()),
        sa.Column("updated_by", sa.UUID()),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_knowledge_limits")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_knowledge_limits_tenant_id"), ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "max_file_bytes > 0 AND max_documents >= 0 AND max_bytes >= 0", name=op.f("ck_knowledge_limits_limits")
        ),
    )
    protect("knowledge_limits")
    op.create_index(
        "uq_documents_parent_id_path",
        "documents",
        ["parent_id", "path"],
        unique=True,
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.drop_index("ix_documents_parent_id", table_name="documents")
    op.create_index(
        "ix_document_versions_tenant_id", "document_versions", ["tenant_id"], postgresql_include=["size_bytes"]
    )
    op.create_index("ix_documents_tags", "documents", ["tags"], postgresql_using="gin")
    _prepare_pages()


def _prepare_pages() -> None:
    op.create_index(
        "uq_documents_knowledge_base_id_url",
        "documents",
        ["knowledge_base_id", "url"],
        unique=True,
        postgresql_where=sa.text("url IS NOT NULL"),
    )
    create_system_functions(SQL / "0013", _FUNCTIONS)


def downgrade() -> None:
    drop_functions(_FUNCTIONS)
    op.drop_index("uq_documents_knowledge_base_id_url", table_name="documents")
    op.drop_index("ix_documents_tags", table_name="documents")
    op.drop_index("ix_document_versions_tenant_id", table_name="document_versions")
    op.create_index(
        "ix_documents_parent_id", "documents", ["parent_id"], postgresql_where=sa.text("parent_id IS NOT NULL")
    )
    op.drop_index("uq_documents_parent_id_path", table_name="documents")
    op.drop_table("knowledge_limits")
