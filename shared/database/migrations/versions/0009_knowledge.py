"""Documents with versions and revisions, indexes beside one another, limits."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.database.migrations.keys import of_tenant, part_of
from shared.database.migrations.security import SYSTEM_ROLE, protect

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: None = None
depends_on: None = None

_TIME = sa.DateTime(timezone=True)
_TABLES = ("knowledge_indexes", "document_versions", "document_pieces", "document_texts", "chunk_embeddings")
_UUIDS = postgresql.ARRAY(postgresql.UUID(as_uuid=True))
_TEXTS = postgresql.ARRAY(sa.Text())


def _document_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("revision", sa.Integer()),
        sa.Column("last_revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("source", sa.Text(), server_default="upload", nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("dated_at", _TIME),
        sa.Column("tags", _TEXTS, server_default="{}", nullable=False),
        sa.Column("agent_ids", _UUIDS, server_default="{}", nullable=False),
        sa.Column("warnings", _TEXTS, server_default="{}", nullable=False),
        sa.Column("settings", postgresql.JSONB()),
        sa.Column("password", sa.LargeBinary()),
        sa.Column("parent_id", sa.UUID()),
        sa.Column("path", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("fetched", postgresql.JSONB()),
        sa.Column("refresh_seconds", sa.Integer()),
        sa.Column("refresh_at", _TIME),
        sa.Column("refresh_by", sa.UUID()),
    )


def _chunk_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("part", sa.Text()),
        sa.Column("table_header", sa.Text()),
    )


# What is there moves into the new tables. A first index has the id of its knowledge base, so that the collections in
# Chroma stay as they are, and a first version the id of its document.
_COPIES = (
    """
    INSERT INTO knowledge_indexes (id, tenant_id, knowledge_base_id, model_name, status, created_by)
    SELECT id, tenant_id, id, embedding_model, 'active', created_by FROM knowledge_bases
    """,
    "UPDATE knowledge_bases SET index_id = id",
    "UPDATE documents SET revision = 0 WHERE status = 'ready'",
    """
    INSERT INTO document_versions
        (id, tenant_id, document_id, number, name, media_type, size_bytes, content_hash, created_at, created_by)
    SELECT id, tenant_id, id, 1, name, media_type, size_bytes, content_hash, created_at, created_by FROM documents
    """,
    """
    INSERT INTO document_pieces (tenant_id, version_id, number, data)
    SELECT tenant_id, document_id, 0, original FROM document_contents
    """,
    """
    INSERT INTO document_texts (tenant_id, document_id, revision, version, text, structure)
    SELECT tenant_id, document_id, 0, 1, text, structure FROM document_contents
    WHERE text IS NOT NULL AND structure IS NOT NULL
    """,
    """
    INSERT INTO chunk_embeddings (tenant_id, chunk_id, index_id, vector)
    SELECT tenant_id, id, knowledge_base_id, embedding FROM chunks WHERE embedding IS NOT NULL
    """,
)


def upgrade() -> None:
    op.add_column("knowledge_bases", sa.Column("language", sa.Text(), server_default="english", nullable=False))
    op.add_column("knowledge_bases", sa.Column("index_id", sa.UUID()))
    op.add_column("knowledge_purges", sa.Column("index_id", sa.UUID()))
    _extend_documents()
    _create_indexes()
    _create_versions()
    _extend_chunks()
    for table in _TABLES:
        protect(table)
    op.execute(f"SET LOCAL ROLE {SYSTEM_ROLE}")
    for copy in _COPIES:
        op.execute(copy)
    op.execute("RESET ROLE")


def _extend_documents() -> None:
    for column in _document_columns():
        op.add_column("documents", column)
    op.create_foreign_key(
        op.f("fk_documents_tenant_id_parent_id"),
        "documents",
        "documents",
        ["tenant_id", "parent_id"],
        ["tenant_id", "id"],
        ondelete="CASCADE",
    )
    for name in ("parent_id", "refresh_at"):
        op.create_index(f"ix_documents_{name}", "documents", [name], postgresql_where=sa.text(f"{name} IS NOT NULL"))


def _create_indexes() -> None:
    op.create_table(
        "knowledge_indexes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("knowledge_base_id", sa.UUID(), nullable=False),
        sa.Column("model_id", sa.UUID()),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.UUID()),
        sa.Column("created_by", sa.UUID()),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_knowledge_indexes")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_knowledge_indexes_tenant_id_id")),
        of_tenant("knowledge_indexes"),
        part_of("knowledge_indexes", "knowledge_base_id", "knowledge_bases"),
        sa.CheckConstraint("status IN ('active', 'building')", name=op.f("ck_knowledge_indexes_status")),
    )
    op.create_index(
        "uq_knowledge_indexes_knowledge_base_id_status",
        "knowledge_indexes",
        ["knowledge_base_id", "status"],
        unique=True,
    )


def _create_versions() -> None:
    op.create_table(
        "document_versions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("document_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.UUID()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_versions")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_document_versions_tenant_id_id")),
        sa.UniqueConstraint("document_id", "number", name=op.f("uq_document_versions_document_id_number")),
        of_tenant("document_versions"),
        part_of("document_versions", "document_id", "documents"),
    )
    op.create_table(
        "document_pieces",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("version_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "number", name=op.f("pk_document_pieces")),
        of_tenant("document_pieces"),
        part_of("document_pieces", "version_id", "document_versions"),
    )
    # Files are mostly compressed already.
    op.execute("ALTER TABLE document_pieces ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "document_texts",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("document_id", sa.UUID(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("structure", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "revision", name=op.f("pk_document_texts")),
        of_tenant("document_texts"),
        part_of("document_texts", "document_id", "documents"),
    )


def _extend_chunks() -> None:
    for column in _chunk_columns():
        op.add_column("chunks", column)
    op.drop_constraint("uq_chunks_document_id_ordinal", "chunks")
    op.create_unique_constraint(
        "uq_chunks_document_id_revision_ordinal", "chunks", ["document_id", "revision", "ordinal"]
    )
    op.create_table(
        "chunk_embeddings",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("chunk_id", sa.UUID(), nullable=False),
        sa.Column("index_id", sa.UUID(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chunk_id", "index_id", name=op.f("pk_chunk_embeddings")),
        sa.ForeignKeyConstraint(
            ["chunk_id"], ["chunks.id"], name=op.f("fk_chunk_embeddings_chunk_id"), ondelete="CASCADE"
        ),
        of_tenant("chunk_embeddings"),
        part_of("chunk_embeddings", "index_id", "knowledge_indexes"),
    )
    op.create_index("ix_chunk_embeddings_index_id", "chunk_embeddings", ["index_id"])


def downgrade() -> None:
    """The documents that are there keep what they had; those that came since are to be uploaded again."""
    op.execute(f"SET LOCAL ROLE {SYSTEM_ROLE}")
    op.execute("DELETE FROM documents d WHERE NOT EXISTS (SELECT FROM document_contents c WHERE c.document_id = d.id)")
    op.execute("DELETE FROM chunks WHERE revision <> 0")
    op.execute("RESET ROLE")
    op.drop_table("chunk_embeddings")
    op.drop_constraint("uq_chunks_document_id_revision_ordinal", "chunks")
    op.create_unique_constraint("uq_chunks_document_id_ordinal", "chunks", ["document_id", "ordinal"])
    for column in reversed(_chunk_columns()):
        op.drop_column("chunks", column.name)
    for table in ("document_texts", "document_pieces", "document_versions", "knowledge_indexes"):
        op.drop_table(table)
    for name in ("refresh_at", "parent_id"):
        op.drop_index(f"ix_documents_{name}", table_name="documents")
    op.drop_constraint("fk_documents_tenant_id_parent_id", "documents")
    for column in reversed(_document_columns()):
        op.drop_column("documents", column.name)
    op.drop_column("knowledge_purges", "index_id")
    op.drop_column("knowledge_bases", "index_id")
    op.drop_column("knowledge_bases", "language")
