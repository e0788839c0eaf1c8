"""What may be done, and which role may do it."""

from enum import StrEnum


class Permission(StrEnum):
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    BUDGETS_READ = "budgets:read"
    BUDGETS_WRITE = "budgets:write"
    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    KNOWLEDGE_READ = "knowledge:read"
    KNOWLEDGE_WRITE = "knowledge:write"
    KNOWLEDGE_LIMITS_WRITE = "knowledge_limits:write"
    TOOLS_READ = "tools:read"
    TOOLS_WRITE = "tools:write"
    CONNECTIONS_READ = "connections:read"
    CONNECTIONS_WRITE = "connections:write"
    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_WRITE = "workflows:write"
    EXECUTIONS_READ = "executions:read"
    EXECUTIONS_RUN = "executions:run"
    EXECUTION_POLICY_WRITE = "execution_policy:write"
    INBOX_READ = "inbox:read"
    INBOX_RESPOND = "inbox:respond"
    ANALYTICS_READ = "analytics:read"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    API_KEYS_WRITE = "api_keys:write"


class Role(StrEnum):
    """Built in, from most to least; each holds all that those after it hold."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


_VIEWER = frozenset(p for p in Permission if p.value.endswith(":read")) | {Permission.API_KEYS_WRITE}
_EDITOR = _VIEWER | {
    Permission.AGENTS_WRITE,
    Permission.KNOWLEDGE_WRITE,
    Permission.TOOLS_WRITE,
    Permission.WORKFLOWS_WRITE,
    Permission.EXECUTIONS_RUN,
    Permission.INBOX_RESPOND,
}
_ADMIN = _EDITOR | {
    Permission.MODELS_WRITE,
    Permission.CONNECTIONS_WRITE,
    Permission.BUDGETS_WRITE,
    Permission.KNOWLEDGE_LIMITS_WRITE,
    Permission.MEMBERS_WRITE,
    Permission.EXECUTION_POLICY_WRITE,
}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: _ADMIN,
    Role.ADMIN: _ADMIN,
    Role.EDITOR: _EDITOR,
    Role.VIEWER: _VIEWER,
}

_ORDER = list(Role)


def outranks_or_equals(role: Role, other: Role) -> bool:
    """Whether `role` may hand out or take away `other`: nobody touches a role above his own."""
    return _ORDER.index(role) <= _ORDER.index(other)
