"""What the knowledge_base service keeps only to work."""

from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, TenantOwned


class DocumentRecognition(TenantOwned, Base):
    """The text of one page that is an image. It takes seconds to read, so no page of a version is read twice."""

    __tablename__ = "document_recognitions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "version_id"], ["document_versions.tenant_id", "document_versions.id"], ondelete="CASCADE"
        ),
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True)
    languages: Mapped[str] = mapped_column(Text, primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
