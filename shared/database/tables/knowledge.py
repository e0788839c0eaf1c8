"""Tables of the knowledge_base service. The vectors that Chroma serves can be put there again from `chunks`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class KnowledgeBase(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "knowledge_bases"
    __table_args__ = (UniqueConstraint("tenant_id", "id"), UniqueConstraint("tenant_id", "name"))

    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    embedding_model: Mapped[str] = mapped_column(Text)
    # Both in tokens of the embedding model.
    chunk_size: Mapped[int]
    chunk_overlap: Mapped[int]
    # What its documents are mostly written in: how keywords are stemmed.
    language: Mapped[str] = mapped_column(Text, default="english", server_default="english")
    # The index that answers. A first index has the id of its knowledge base; None means that one.
    index_id: Mapped[UUID | None]
    # What it is about, for agents that search it; written by a model if one is named. It is written anew when a
    # document has changed since, or there are not as many any more; at None in any case.
    summary: Mapped[str] = mapped_column(Text, default="", server_default="")
    summary_model_id: Mapped[UUID | None]
    summary_at: Mapped[datetime | None]
    summary_of: Mapped[int | None]
    created_by: Mapped[UUID | None]


class KnowledgeIndex(Identified, TenantOwned, Timestamped, Base):
    """Vectors of a knowledge base by one embedding model: a collection in Chroma. One is active, and while the model
    is being changed another one is built beside it."""

    __tablename__ = "knowledge_indexes"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "knowledge_base_id"],
            ["knowledge_bases.tenant_id", "knowledge_bases.id"],
            ondelete="CASCADE",
        ),
        # At most one is built at a time, and one answers.
        Index("uq_knowledge_indexes_knowledge_base_id_status", "knowledge_base_id", "status", unique=True),
        CheckConstraint("status IN ('active', 'building')", name="status"),
    )

    knowledge_base_id: Mapped[UUID]
    # The tenant's embedding model; None is the built-in one.
    model_id: Mapped[UUID | None]
    # What it is called, also once the record is gone.
    model_name: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    execution_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]


class Document(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "knowledge_base_id"],
            ["knowledge_bases.tenant_id", "knowledge_bases.id"],
            ondelete="CASCADE",
        ),
        # The same content is taken once, also when it comes twice at the same moment.
        Index("uq_documents_knowledge_base_id_content_hash", "knowledge_base_id", "content_hash", unique=True),
        Index("ix_documents_knowledge_base_id_id", "knowledge_base_id", "id"),
        ForeignKeyConstraint(["tenant_id", "parent_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
        # What an archive holds at a place in it is one document.
        Index(
            "uq_documents_parent_id_path", "parent_id", "path", unique=True, postgresql_where="parent_id IS NOT NULL"
        ),
        Index("ix_documents_tags", "tags", postgresql_using="gin"),
        # Those that an ingestion should have finished.
        Index("ix_documents_open", "execution_id", postgresql_where="status IN ('pending', 'processing')"),
        # A page is taken once.
        Index(
            "uq_documents_knowledge_base_id_url",
            "knowledge_base_id",
            "url",
            unique=True,
            postgresql_where="url IS NOT NULL",
        ),
        Index("ix_documents_knowledge_base_id_updated_at", "knowledge_base_id", "updated_at"),
        Index("ix_documents_refresh_at", "refresh_at", postgresql_where="refresh_at IS NOT NULL"),
    )

    knowledge_base_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    content_hash: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    error: Mapped[dict[str, Any] | None]
    progress: Mapped[dict[str, Any] | None]
    page_count: Mapped[int | None]
    char_count: Mapped[int | None]
    chunk_count: Mapped[int | None]
    execution_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]

    # The content it has, counted from 1: a new upload in its place has the next number.
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    # Each processing has a number of its own and makes chunks beside those that are there. When it is done, its
    # chunks are those that are found and the others go. None: nothing can be found yet.
    revision: Mapped[int | None]
    last_revision: Mapped[int] = mapped_column(default=0, server_default="0")

    source: Mapped[str] = mapped_column(Text, default="upload", server_default="upload")
    title: Mapped[str | None] = mapped_column(Text)
    # When it was written or sent, if it says so.
    dated_at: Mapped[datetime | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    # The only agents that may find it; none named: all.
    agent_ids: Mapped[list[UUID]] = mapped_column(ARRAY(PgUuid(as_uuid=True)), default=list, server_default="{}")
    # What could not be read of it, and the like.
    warnings: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    # How it is to be processed, where that differs from its knowledge base.
    settings: Mapped[dict[str, Any] | None]
    # AES-256-GCM, bound to tenant, table, column and row; see shared/security/encryption.py.
    password: Mapped[bytes | None] = mapped_column(LargeBinary)

    # Of a document out of an archive: the archive, and its place there.
    parent_id: Mapped[UUID | None]
    path: Mapped[str | None] = mapped_column(Text)

    # Of a page in the web: its address, what its server said of it, and when it is to be fetched again.
    url: Mapped[str | None] = mapped_column(Text)
    fetched: Mapped[dict[str, Any] | None]
    refresh_seconds: Mapped[int | None]
    refresh_at: Mapped[datetime | None]
    # Whom that is done for: who last said how often.
    refresh_by: Mapped[UUID | None]


class DocumentVersion(Identified, TenantOwned, Base):
    """A content that a document has or had."""

    __tablename__ = "document_versions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("document_id", "number"),
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
        # How much a tenant stores.
        Index("ix_document_versions_tenant_id", "tenant_id", postgresql_include=["size_bytes"]),
    )

    document_id: Mapped[UUID]
    number: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    content_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[UUID | None]


class DocumentPiece(TenantOwned, Base):
    """The bytes of a version, in pieces that are written and read one by one."""

    __tablename__ = "document_pieces"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "version_id"], ["document_versions.tenant_id", "document_versions.id"], ondelete="CASCADE"
        ),
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class DocumentText(TenantOwned, Base):
    """What was read out of a document by one processing. Offsets of its chunks count characters of `text`."""

    __tablename__ = "document_texts"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    )

    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    # Where pages, headings, tables and parts stand in `text`.
    structure: Mapped[dict[str, Any]]


class DocumentContent(TenantOwned, Base):
    """Where documents of the release before stand; the migration has copied them. To go with the next."""

    __tablename__ = "document_contents"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    )

    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    original: Mapped[bytes] = mapped_column(LargeBinary)
    text: Mapped[str | None] = mapped_column(Text)
    # Format, where pages and headings begin in `text`, what could not be read.
    structure: Mapped[dict[str, Any] | None]


class Chunk(Identified, TenantOwned, Base):
    __tablename__ = "chunks"
    __table_args__ = (
        UniqueConstraint("document_id", "revision", "ordinal"),
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    )

    knowledge_base_id: Mapped[UUID] = mapped_column(index=True)
    document_id: Mapped[UUID]
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
    ordinal: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    page: Mapped[int | None]
    headings: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # Offsets into the document's extracted text, in characters.
    start: Mapped[int]
    end: Mapped[int]
    tokens: Mapped[int]
    # The attachment it stands in.
    part: Mapped[str | None] = mapped_column(Text)
    # The head of the table that it is a later part of.
    table_header: Mapped[str | None] = mapped_column(Text)
    # As in the release before; the migration has copied it. To go with the next.
    embedding: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class ChunkEmbedding(TenantOwned, Base):
    """A chunk's vector in one index, from which Chroma can be filled again."""

    __tablename__ = "chunk_embeddings"
    __table_args__ = (
        ForeignKeyConstraint(["chunk_id"], ["chunks.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "index_id"], ["knowledge_indexes.tenant_id", "knowledge_indexes.id"], ondelete="CASCADE"
        ),
    )

    chunk_id: Mapped[UUID] = mapped_column(primary_key=True)
    index_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    # Little-endian float32, of length 1.
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class KnowledgePurge(Identified, TenantOwned, Base):
    """Vectors to be deleted from Chroma: of a document, or of a whole knowledge base. Gone once they are gone."""

    __tablename__ = "knowledge_purges"

    knowledge_base_id: Mapped[UUID]
    # The index they are in; None: the first of the knowledge base.
    index_id: Mapped[UUID | None]
    document_id: Mapped[UUID | None]
    tried_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class KnowledgeLimits(TenantOwned, Timestamped, Base):
    """What a tenant allows itself, within what the operator allows. None: as much as that."""

    __tablename__ = "knowledge_limits"
    __table_args__ = (CheckConstraint("max_file_bytes > 0 AND max_documents >= 0 AND max_bytes >= 0", name="limits"),)

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    max_file_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_documents: Mapped[int | None] = mapped_column(BigInteger)
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    updated_by: Mapped[UUID | None]
