"""What a knowledge base is about."""

import sqlalchemy as sa
from alembic import op

from shared.database.migrations.security import SQL, create_system_functions, drop_functions

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: None = None
depends_on: None = None

_FUNCTIONS = (("knowledge_stale_summaries", "knowledge_stale_summaries(double precision, integer)"),)
_INDEX = "ix_documents_knowledge_base_id_updated_at"


def upgrade() -> None:
    op.add_column("knowledge_bases", sa.Column("summary", sa.Text(), server_default="", nullable=False))
    op.add_column("knowledge_bases", sa.Column("summary_model_id", sa.UUID()))
    op.add_column("knowledge_bases", sa.Column("summary_at", sa.DateTime(timezone=True)))
    op.add_column("knowledge_bases", sa.Column("summary_of", sa.Integer()))
    op.create_index(_INDEX, "documents", ["knowledge_base_id", "updated_at"])
    create_system_functions(SQL / "0015", _FUNCTIONS)


def downgrade() -> None:
    drop_functions(_FUNCTIONS)
    op.drop_index(_INDEX, table_name="documents")
    for name in ("summary_of", "summary_at", "summary_model_id", "summary"):
        op.drop_column("knowledge_bases", name)
