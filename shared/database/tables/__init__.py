"""Every table, imported so that `Base.metadata` is whole for migrations and checks."""

from shared.database.tables import agents, auth, knowledge, ledger, models, workflows

__all__ = ["agents", "auth", "knowledge", "ledger", "models", "workflows"]
