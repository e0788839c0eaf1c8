"""From a row of the tools table to what a snapshot keeps of it."""

from shared.database.tables.tools import Tool
from shared.kit.json import JsonObject


def definition_of(row: Tool) -> JsonObject:
    """As `ToolDefinition` reads it. It names its connection and holds no secret."""
    connection = None if row.connection_id is None else str(row.connection_id)
    return {
        "id": str(row.id),
        "kind": row.kind,
        "description": row.description,
        "parameters": row.parameters,
        "effect": row.effect,
        "needs_approval": row.needs_approval,
        "config": {**row.config, "connection_id": connection},
    }
