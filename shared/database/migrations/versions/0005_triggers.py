"""What starts workflows by itself, and who is told when an execution ends."""

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None: ...


def downgrade() -> None: ...
