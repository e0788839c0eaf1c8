from dataclasses import dataclass
from uuid import UUID

from shared.auth.permissions import Permission, Role
from shared.database.session import Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request, as proved by a token or an API key: exactly one of the last two is set. Neither, where
    a trigger acts for a person."""

    user_id: UUID
    tenant_id: UUID
    role: Role
    permissions: frozenset[Permission]
    session_id: UUID | None = None
    api_key_id: UUID | None = None

    @property
    def scope(self) -> Scope:
        return Scope(tenant_id=self.tenant_id, user_id=self.user_id)

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions
