from uuid import UUID

from services.auth.accounts.schemas import Email, NewPassword
from shared.auth.permissions import Permission, Role
from shared.web.schemas import Name, RequestModel, ResponseModel, Timestamp


class TenantCreate(RequestModel):
    name: Name


class TenantOut(ResponseModel):
    id: UUID
    name: str
    role: Role
    created_at: Timestamp


class MemberAdd(RequestModel):
    """Adds a person who has an account, or makes one; then `display_name` and a first `password` are needed."""

    email: Email
    role: Role
    display_name: Name | None = None
    password: NewPassword | None = None


class MemberUpdate(RequestModel):
    role: Role


class MemberOut(ResponseModel):
    user_id: UUID
    email: str
    display_name: str
    role: Role
    created_at: Timestamp


class RoleOut(ResponseModel):
    name: Role
    permissions: list[Permission]
