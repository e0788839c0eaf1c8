"""Questions with the documents that should be found for them, and how well they were found."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class EvaluationSet(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "evaluation_sets"
    __table_args__ = (UniqueConstraint("tenant_id", "id"), UniqueConstraint("tenant_id", "name"))

    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    # What is searched. One that was deleted since is refused when a run begins.
    knowledge_base_ids: Mapped[list[UUID]] = mapped_column(ARRAY(PgUuid(as_uuid=True)))
    created_by: Mapped[UUID | None]


class EvaluationQuestion(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "evaluation_questions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        # The same question is in a set once.
        UniqueConstraint("set_id", "text_hash"),
        ForeignKeyConstraint(
            ["tenant_id", "set_id"], ["evaluation_sets.tenant_id", "evaluation_sets.id"], ondelete="CASCADE"
        ),
        Index("ix_evaluation_questions_set_id_id", "set_id", "id"),
        CheckConstraint("status IN ('draft', 'approved', 'rejected')", name="status"),
    )

    set_id: Mapped[UUID]
    text: Mapped[str] = mapped_column(Text)
    text_hash: Mapped[str] = mapped_column(Text)
    # Only what is approved counts.
    status: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    # Objects of document_id, name and grade. By document, not by chunk, so that it outlasts reprocessing; with the
    # name, so that it can be told of a document that is gone.
    expected: Mapped[list[Any]]
    # What it was generated from.
    passage: Mapped[str | None] = mapped_column(Text)
    execution_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]


class EvaluationRun(Identified, TenantOwned, Base):
    __tablename__ = "evaluation_runs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        ForeignKeyConstraint(
            ["tenant_id", "set_id"], ["evaluation_sets.tenant_id", "evaluation_sets.id"], ondelete="CASCADE"
        ),
        Index("ix_evaluation_runs_set_id_id", "set_id", "id"),
    )

    set_id: Mapped[UUID]
    knowledge_base_ids: Mapped[list[UUID]] = mapped_column(ARRAY(PgUuid(as_uuid=True)))
    modes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    top_k: Mapped[int]
    rerank_model_id: Mapped[UUID | None]
    execution_id: Mapped[UUID | None]
    # By mode, once all is measured.
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class EvaluationResult(TenantOwned, Base):
    """One question, asked in one mode: put there when the run begins, and measured later."""

    __tablename__ = "evaluation_results"
    __table_args__ = (
        UniqueConstraint("run_id", "ordinal"),
        ForeignKeyConstraint(
            ["tenant_id", "run_id"], ["evaluation_runs.tenant_id", "evaluation_runs.id"], ondelete="CASCADE"
        ),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    question_id: Mapped[UUID] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(Text, primary_key=True)
    ordinal: Mapped[int]
    # As it was then; the question may be edited or deleted since.
    question: Mapped[str] = mapped_column(Text)
    expected: Mapped[list[Any]]
    measured_at: Mapped[datetime | None]
    # Objects of document_id, name, score, page, chunk_id and grade, best first.
    found: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    ndcg: Mapped[float | None]
    recall: Mapped[float | None]
    reciprocal_rank: Mapped[float | None]
    # Where the first expected document stands.
    rank: Mapped[int | None]
    latency_ms: Mapped[float | None]
    # Why it has no figures: the search failed, or none of the documents it expects is there any more.
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
