"""Table of the inbox service. Inbox items themselves are the ledger's waits that ask a person."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base


class InboxRead(Base):
    """Somebody has read an item. One that has no such row is unread to him."""

    __tablename__ = "inbox_reads"
    __table_args__ = (
        # The tenant's because the wait is, and gone when the wait is.
        ForeignKeyConstraint(["tenant_id", "wait_id"], ["waits.tenant_id", "waits.id"], ondelete="CASCADE"),
    )

    wait_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    tenant_id: Mapped[UUID]
    read_at: Mapped[datetime]
