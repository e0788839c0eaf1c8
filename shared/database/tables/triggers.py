"""Tables of what starts workflows by itself and of who is told when an execution ends: the workflows service's."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Trigger(Identified, TenantOwned, Timestamped, Base):
    """A schedule or a webhook that starts a workflow."""

    __tablename__ = "triggers"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "workflow_id"], ["workflows.tenant_id", "workflows.id"], ondelete="CASCADE"),
        CheckConstraint("kind IN ('schedule', 'webhook')", name="kind"),
        Index("ix_triggers_workflow", "tenant_id", "workflow_id", text("id DESC")),
        # What is due, whosever it is.
        Index("ix_triggers_due", "next_fire_at", postgresql_where=text("enabled AND next_fire_at IS NOT NULL")),
    )

    workflow_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool]
    # Null: the latest there is when it fires.
    workflow_version: Mapped[int | None]
    priority: Mapped[int] = mapped_column(SmallInteger)
    # As the API shows it: what is particular to the kind. No secret is in here.
    config: Mapped[dict[str, Any]]
    # Of a schedule that is enabled: the first time that is not dealt with yet.
    next_fire_at: Mapped[datetime | None]
    # Of a webhook: the hash of what stands in its URL, and what deliveries are signed with.
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    # The secret before the last rotation, good until then.
    old_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_secret_until: Mapped[datetime | None]
    last_fired_at: Mapped[datetime | None]
    last_execution_id: Mapped[UUID | None]
    # Why the last firing started nothing; `failures` counts those since one that did.
    last_error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    created_by: Mapped[UUID | None]
    # The person it starts workflows for: who made it, or saved or enabled it last.
    acts_for: Mapped[UUID]


class WebhookEndpoint(Identified, TenantOwned, Timestamped, Base):
    """Who is told when executions end."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        Index("ix_webhook_endpoints_enabled", "tenant_id", postgresql_where=text("enabled")),
    )

    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # Null: those of every workflow, and of none.
    workflow_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(PgUuid(as_uuid=True)))
    enabled: Mapped[bool]
    # Why it was disabled, when not by a person.
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    # When the first of the deliveries failed that have failed without a success since.
    failing_since: Mapped[datetime | None]
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[UUID | None]


class WebhookDelivery(Identified, Base):
    """One message to one endpoint, sent until it is taken or given up. The tenant's because the endpoint is."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"], ["webhook_endpoints.tenant_id", "webhook_endpoints.id"], ondelete="CASCADE"
        ),
        CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="status"),
        Index("ix_webhook_deliveries_endpoint", "endpoint_id", text("created_at DESC"), text("id DESC")),
        # What is to be sent, by tenant, so that none waits for what another has to send.
        Index(
            "ix_webhook_deliveries_pending",
            "tenant_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
    )

    tenant_id: Mapped[UUID]
    endpoint_id: Mapped[UUID]
    event: Mapped[str] = mapped_column(Text)
    execution_id: Mapped[UUID | None]
    payload: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(Text, default="pending", server_default="pending")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    # How many of the attempts belong to earlier rounds: one that is sent again by hand starts anew.
    earlier_attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    # A worker that sends it moves this on to when its lease ends: if it dies, the others find it then.
    next_attempt_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    last_attempt_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    last_response: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
