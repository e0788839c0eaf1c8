from alembic import context

import shared.database.tables  # noqa: F401  # pyright: ignore[reportUnusedImport] - fills Base.metadata
from shared.database.base import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
