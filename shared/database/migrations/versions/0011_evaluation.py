"""Questions with the documents they should find."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.database.migrations.keys import of_tenant, part_of
from shared.database.migrations.security import protect

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: None = None
depends_on: None = None

_TIME = sa.DateTime(timezone=True)
_JSON = postgresql.JSONB()
_UUIDS = postgresql.ARRAY(postgresql.UUID(as_uuid=True))
_TEXTS = postgresql.ARRAY(sa.Text())
_TABLES = ("evaluation_sets", "evaluation_questions", "evaluation_runs", "evaluation_results")


def upgrade() -> None:
    _create_sets()
    _create_runs()
    for table in _TABLES:
        protect(table)


def _create_sets() -> None:
    op.create_table(
        "evaluation_sets",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("knowledge_base_ids", _UUIDS, nullable=False),
        sa.Column("created_by", sa.UUID()),
        *_times(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation_sets")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_evaluation_sets_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_evaluation_sets_tenant_id_name")),
        of_tenant("evaluation_sets"),
    )
    op.create_table(
        "evaluation_questions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("set_id", sa.UUID(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("expected", _JSON, nullable=False),
        sa.Column("passage", sa.Text()),
        sa.Column("execution_id", sa.UUID()),
        sa.Column("created_by", sa.UUID()),
        *_times(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation_questions")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_evaluation_questions_tenant_id_id")),
        sa.UniqueConstraint("set_id", "text_hash", name=op.f("uq_evaluation_questions_set_id_text_hash")),
        sa.CheckConstraint("status IN ('draft', 'approved', 'rejected')", name=op.f("ck_evaluation_questions_status")),
        of_tenant("evaluation_questions"),
        part_of("evaluation_questions", "set_id", "evaluation_sets"),
    )
    op.create_index("ix_evaluation_questions_set_id_id", "evaluation_questions", ["set_id", "id"])


def _create_runs() -> None:
    op.create_table(
        "evaluation_runs",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("set_id", sa.UUID(), nullable=False),
        sa.Column("knowledge_base_ids", _UUIDS, nullable=False),
        sa.Column("modes", _TEXTS, nullable=False),
        sa.Column("top_k", sa.Integer(), nullable=False),
        sa.Column("rerank_model_id", sa.UUID()),
        sa.Column("execution_id", sa.UUID()),
        sa.Column("metrics", _JSON),
        sa.Column("created_by", sa.UUID()),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", _TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation_runs")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_evaluation_runs_tenant_id_id")),
        of_tenant("evaluation_runs"),
        part_of("evaluation_runs", "set_id", "evaluation_sets"),
    )
    op.create_index("ix_evaluation_runs_set_id_id", "evaluation_runs", ["set_id", "id"])
    op.create_table(
        "evaluation_results",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("run_id", sa.UUID(), nullable=False),
        sa.Column("question_id", sa.UUID(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("expected", _JSON, nullable=False),
        sa.Column("measured_at", _TIME),
        sa.Column("found", _JSON),
        sa.Column("ndcg", sa.Float()),
        sa.Column("recall", sa.Float()),
        sa.Column("reciprocal_rank", sa.Float()),
        sa.Column("rank", sa.Integer()),
        sa.Column("latency_ms", sa.Float()),
        sa.Column("error", _JSON),
        sa.PrimaryKeyConstraint("run_id", "question_id", "mode", name=op.f("pk_evaluation_results")),
        sa.UniqueConstraint("run_id", "ordinal", name=op.f("uq_evaluation_results_run_id_ordinal")),
        of_tenant("evaluation_results"),
        part_of("evaluation_results", "run_id", "evaluation_runs"),
    )


def _times() -> tuple[sa.Column[object], sa.Column[object]]:
    return (
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", _TIME, server_default=sa.text("now()"), nullable=False),
    )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
