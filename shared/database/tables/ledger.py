"""The execution ledger: owned by orchestration, written by shared/executions and the engine's adapter."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned

EXECUTION_STATUSES = ("queued", "running", "waiting", "paused", "succeeded", "failed", "cancelled")


class ExecutionRow(Identified, TenantOwned, Base):
    __tablename__ = "executions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        CheckConstraint(f"status IN {EXECUTION_STATUSES}", name="status"),
        # What a claim reads: queued work of one lane, by tenant, most urgent and oldest first. Those that share a
        # limit, of a workflow, stand apart: if it has no room they are passed over without being read.
        Index(
            "ix_executions_queue",
            "lane",
            "tenant_id",
            "concurrency_key",
            text("priority DESC"),
            "id",
            postgresql_where=text("status = 'queued'"),
        ),
        # Whether there is any that may have killed its workers: as a rule there is none, and that must be quick to see.
        Index("ix_executions_suspects", "lane", postgresql_where=text("status = 'queued' AND attempts >= 2")),
        Index("ix_executions_running", "tenant_id", postgresql_where=text("status = 'running'")),
        Index(
            "ix_executions_limited_running",
            "concurrency_key",
            postgresql_where=text("status = 'running' AND concurrency_key IS NOT NULL"),
        ),
        Index("ix_executions_root_id", "root_id", postgresql_where=text("root_id IS NOT NULL")),
        Index("ix_executions_origin_id", "origin_id", postgresql_where=text("origin_id IS NOT NULL")),
        Index("ix_executions_trigger_id", "trigger_id", "id", postgresql_where=text("trigger_id IS NOT NULL")),
        Index("ix_executions_parent_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index("ix_executions_tenant_id_id", "tenant_id", text("id DESC")),
        Index("ix_executions_workflow", "tenant_id", "workflow_id", text("id DESC")),
        # What reports of a period read.
        Index("ix_executions_tenant_id_created_at", "tenant_id", "created_at"),
        # What is pruned when its time is over.
        Index(
            "ix_executions_finished_at",
            "tenant_id",
            "finished_at",
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
        Index(
            "uq_executions_idempotency_key",
            "tenant_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    kind: Mapped[str] = mapped_column(Text)
    lane: Mapped[str] = mapped_column(Text, default="default", server_default="default")
    name: Mapped[str] = mapped_column(Text)
    spec: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(Text, default="queued", server_default="queued")
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    # Raised by every claim; a write that carries an older one changes nothing.
    epoch: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # The holder numbers its writes: one that is sent again because its answer was lost is not applied twice.
    last_write: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None] = mapped_column(Text)
    claimed_at: Mapped[datetime | None]
    # How long workers have held it, the present one not counted.
    active_ms: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # How often a worker died while it held this execution, since it last came to wait.
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    cancel_requested_at: Mapped[datetime | None]
    pause_requested_at: Mapped[datetime | None]
    # Raised when a wait of this execution is settled, so that its holder and whoever parks it see that they must look.
    wakes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("executions.id", ondelete="SET NULL"))
    # The topmost execution above this one, and how many there are; null and 0 for one that no other started.
    root_id: Mapped[UUID | None]
    depth: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    # The execution that this one was made of, and why: see `Origin`.
    origin_id: Mapped[UUID | None] = mapped_column(ForeignKey("executions.id", ondelete="SET NULL"))
    origin: Mapped[str | None] = mapped_column(Text)
    trigger_id: Mapped[UUID | None]
    # The workflow's id while the workflow limits how many of its executions run at once.
    concurrency_key: Mapped[UUID | None]
    budget: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    workflow_id: Mapped[UUID | None]
    workflow_version: Mapped[int | None]
    agent_id: Mapped[UUID | None]
    correlation_id: Mapped[str | None] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    request_hash: Mapped[str | None] = mapped_column(Text)
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 9), default=0, server_default="0")
    call_count: Mapped[int] = mapped_column(default=0, server_default="0")
    output: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    engine_version: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # What of it was taken away when its time was over: see `Pruned` in shared/executions/retention.py.
    pruned: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class PartOfExecution:
    """Rows of one execution. They are the tenant's because the execution is: whoever writes them holds its row, as one
    of this tenant. No foreign key says so again, but for waits: see docs/decisions/0012-parts-without-foreign-keys.md.
    """

    tenant_id: Mapped[UUID]


class StepRow(Identified, PartOfExecution, Base):
    __tablename__ = "task_executions"
    __table_args__ = (UniqueConstraint("execution_id", "node", "path"),)

    execution_id: Mapped[UUID]
    node: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    generation: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[str] = mapped_column(Text)
    input: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    output: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # The execution under whose id its calls are known to others, if not this one: a retry goes on with the same calls.
    keyed_by: Mapped[UUID | None]


class CallRow(Identified, PartOfExecution, Base):
    __tablename__ = "calls"
    __table_args__ = (
        UniqueConstraint("step_id", "key"),
        Index("ix_calls_execution_id_id", "execution_id", "id"),
        Index("ix_calls_model", "tenant_id", "model_id", "started_at"),
    )

    execution_id: Mapped[UUID]
    step_id: Mapped[UUID]
    key: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    effect: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    model_id: Mapped[UUID | None]
    agent_id: Mapped[UUID | None]
    request_hash: Mapped[str] = mapped_column(Text)
    request: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    response: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[str] = mapped_column(Text)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    input_tokens: Mapped[int] = mapped_column(default=0, server_default="0")
    output_tokens: Mapped[int] = mapped_column(default=0, server_default="0")
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 9), default=0, server_default="0")
    tries: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # Taken over from the execution that this one was made of: it was paid there.
    copied: Mapped[bool] = mapped_column(default=False, server_default="false")


class WaitRow(Identified, PartOfExecution, Base):
    """What a step waits for. Those that ask a person are the inbox."""

    __tablename__ = "waits"
    __table_args__ = (
        UniqueConstraint("step_id", "key"),
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "execution_id"], ["executions.tenant_id", "executions.id"], ondelete="CASCADE"
        ),
        CheckConstraint("status IN ('open', 'answered', 'expired', 'closed')", name="status"),
        Index("ix_waits_execution_id_id", "execution_id", "id"),
        Index("ix_waits_inbox", "tenant_id", text("id DESC"), postgresql_where=text("kind NOT IN ('timer', 'child')")),
        # What lists and badges show as a rule: few, however many were settled before.
        Index(
            "ix_waits_open_items",
            "tenant_id",
            text("id DESC"),
            postgresql_where=text("status = 'open' AND kind NOT IN ('timer', 'child')"),
        ),
        Index("ix_waits_due", "due_at", postgresql_where=text("status = 'open' AND due_at IS NOT NULL")),
        Index(
            "ix_waits_escalate",
            "escalate_at",
            postgresql_where=text("status = 'open' AND escalate_at IS NOT NULL AND escalated_at IS NULL"),
        ),
        # Settled, but those whom it concerns have not been told: as a rule for an instant.
        Index("ix_waits_untold", "settled_at", postgresql_where=text("status <> 'open' AND NOT told")),
    )

    execution_id: Mapped[UUID]
    step_id: Mapped[UUID]
    key: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    request: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    request_hash: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, default="open", server_default="open")
    due_at: Mapped[datetime | None]
    assignee_user_id: Mapped[UUID | None]
    assignee_role: Mapped[str | None] = mapped_column(Text)
    escalate_at: Mapped[datetime | None]
    escalate_user_id: Mapped[UUID | None]
    escalate_role: Mapped[str | None] = mapped_column(Text)
    escalated_at: Mapped[datetime | None]
    # `{"action", "value"}`: see the engine's `Answer`.
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    answered_by: Mapped[UUID | None]
    settled_at: Mapped[datetime | None]
    told: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[datetime]


class EventRow(PartOfExecution, Base):
    __tablename__ = "execution_events"

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    node: Mapped[str | None] = mapped_column(Text)
    path: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int | None] = mapped_column(SmallInteger)
    data: Mapped[dict[str, Any]]
