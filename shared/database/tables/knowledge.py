"""Tables of the knowledge_base service. The vectors that Chroma serves can be put there again from `chunks`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import ARRAY
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


class DocumentContent(TenantOwned, Base):
    """The uploaded bytes and the text found in them, apart from the row that lists read."""

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
        UniqueConstraint("document_id", "ordinal"),
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
    )

    knowledge_base_id: Mapped[UUID] = mapped_column(index=True)
    document_id: Mapped[UUID]
    ordinal: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    page: Mapped[int | None]
    headings: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # Offsets into the document's extracted text, in characters.
    start: Mapped[int]
    end: Mapped[int]
    tokens: Mapped[int]
    # Little-endian float32. Only indexing reads it.
    embedding: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class KnowledgePurge(Identified, TenantOwned, Base):
    """Vectors to be deleted from Chroma: of a document, or of a whole knowledge base. Gone once they are gone."""

    __tablename__ = "knowledge_purges"

    knowledge_base_id: Mapped[UUID]
    document_id: Mapped[UUID | None]
    tried_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
