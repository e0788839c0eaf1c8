"""The index of words."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.database.migrations.keys import of_tenant, part_of
from shared.database.migrations.security import SQL, create_system_functions, drop_functions, protect

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: None = None
depends_on: None = None

_FUNCTIONS = (("keyword_document_gone", "keyword_document_gone()"),)
_TABLES = ("keyword_segments", "keyword_blocks", "keyword_documents", "keyword_deletions")
_PACKED = ("chunk_ids", "lengths", "documents", "chunk_documents", "firsts")


def upgrade() -> None:
    _create(
        "keyword_segments",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("knowledge_base_id", sa.UUID(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in _PACKED),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keyword_segments")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_keyword_segments_tenant_id_id")),
        part_of("keyword_segments", "knowledge_base_id", "knowledge_bases"),
    )
    op.create_index("ix_keyword_segments_knowledge_base_id", "keyword_segments", ["knowledge_base_id"])
    _create(
        "keyword_blocks",
        sa.Column("segment_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "number", name=op.f("pk_keyword_blocks")),
        part_of("keyword_blocks", "segment_id", "keyword_segments"),
    )
    _create(
        "keyword_documents",
        sa.Column("document_id", sa.UUID(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("segment_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "part", name=op.f("pk_keyword_documents")),
        part_of("keyword_documents", "document_id", "documents"),
        part_of("keyword_documents", "segment_id", "keyword_segments"),
    )
    op.create_index("ix_keyword_documents_segment_id", "keyword_documents", ["segment_id"])
    _create(
        "keyword_deletions",
        sa.Column("segment_id", sa.UUID(), nullable=False),
        sa.Column("document_id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "document_id", name=op.f("pk_keyword_deletions")),
        part_of("keyword_deletions", "segment_id", "keyword_segments"),
    )
    # Numbers that hardly get smaller, and are read often.
    for name in _PACKED:
        op.execute(f"ALTER TABLE keyword_segments ALTER COLUMN {name} SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE keyword_blocks ALTER COLUMN data SET STORAGE EXTERNAL")
    for table in _TABLES:
        protect(table)
    create_system_functions(SQL / "0010", _FUNCTIONS)
    op.execute(
        "CREATE TRIGGER keyword_document_gone AFTER DELETE ON keyword_documents"
        " FOR EACH ROW EXECUTE FUNCTION keyword_document_gone()"
    )


def _create(table: str, *parts: sa.Column[Any] | sa.Constraint) -> None:
    op.create_table(table, sa.Column("tenant_id", sa.UUID(), nullable=False), *parts, of_tenant(table))


def downgrade() -> None:
    op.execute("DROP TRIGGER keyword_document_gone ON keyword_documents")
    drop_functions(_FUNCTIONS)
    for table in reversed(_TABLES):
        op.drop_table(table)
