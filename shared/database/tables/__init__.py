"""Every table, imported so that `Base.metadata` is whole for migrations and checks."""

from shared.database.tables import (
    agents,
    auth,
    budgets,
    evaluation,
    inbox,
    ingestion,
    keywords,
    knowledge,
    ledger,
    models,
    retention,
    tools,
    triggers,
    workflows,
)

__all__ = [
    "agents",
    "auth",
    "budgets",
    "evaluation",
    "inbox",
    "ingestion",
    "keywords",
    "knowledge",
    "ledger",
    "models",
    "retention",
    "tools",
    "triggers",
    "workflows",
]
