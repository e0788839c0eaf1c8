"""Every table, imported so that `Base.metadata` is whole for migrations and checks."""

from shared.database.tables import agents, auth, budgets, knowledge, ledger, models, workflows

__all__ = ["agents", "auth", "budgets", "knowledge", "ledger", "models", "workflows"]
