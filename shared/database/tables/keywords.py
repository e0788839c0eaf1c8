"""The index of words of knowledge bases; see docs/decisions/0013-keywords-in-postgres.md."""

from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned


class KeywordSegment(Identified, TenantOwned, Base):
    """Chunks and their terms. Written once: merging writes another one and deletes it. The bytes are those of
    `shared.knowledge.keywords.segment.Chunks`."""

    __tablename__ = "keyword_segments"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "knowledge_base_id"],
            ["knowledge_bases.tenant_id", "knowledge_bases.id"],
            ondelete="CASCADE",
        ),
    )

    knowledge_base_id: Mapped[UUID] = mapped_column(index=True)
    # By which its terms were made.
    language: Mapped[str] = mapped_column(Text)
    chunk_count: Mapped[int]
    chunk_ids: Mapped[bytes] = mapped_column(LargeBinary)
    lengths: Mapped[bytes] = mapped_column(LargeBinary)
    documents: Mapped[bytes] = mapped_column(LargeBinary)
    chunk_documents: Mapped[bytes] = mapped_column(LargeBinary)
    # The first term of each block.
    firsts: Mapped[bytes] = mapped_column(LargeBinary)


class KeywordBlock(TenantOwned, Base):
    """Some of a segment's terms with their postings: `shared.knowledge.keywords.segment.Block`."""

    __tablename__ = "keyword_blocks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "segment_id"], ["keyword_segments.tenant_id", "keyword_segments.id"], ondelete="CASCADE"
        ),
    )

    segment_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class KeywordDocument(TenantOwned, Base):
    """Where a document stands; a large one in several parts. When such a row goes, because its document goes or is
    written anew, a trigger notes in keyword_deletions that the segment's entries are void."""

    __tablename__ = "keyword_documents"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "segment_id"], ["keyword_segments.tenant_id", "keyword_segments.id"], ondelete="CASCADE"
        ),
    )

    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[int]
    segment_id: Mapped[UUID] = mapped_column(index=True)


class KeywordDeletion(TenantOwned, Base):
    """A document that is not to be found in a segment any more; it leaves when the segment is merged."""

    __tablename__ = "keyword_deletions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "segment_id"], ["keyword_segments.tenant_id", "keyword_segments.id"], ondelete="CASCADE"
        ),
    )

    segment_id: Mapped[UUID] = mapped_column(primary_key=True)
    document_id: Mapped[UUID] = mapped_column(primary_key=True)
