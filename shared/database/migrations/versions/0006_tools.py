"""A tenant's own tools and the credentials they use."""

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None: ...


def downgrade() -> None: ...
