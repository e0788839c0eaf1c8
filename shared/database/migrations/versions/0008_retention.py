"""How long what is kept, and large payloads apart from hot rows."""

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None: ...


def downgrade() -> None: ...
