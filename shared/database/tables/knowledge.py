"""Tables of the knowledge_base service. Vectors live in Chroma and can be rebuilt from `chunks`."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint
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
        Index("ix_documents_knowledge_base_id_content_hash", "knowledge_base_id", "content_hash"),
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
