from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.auth.permissions import Permission
from shared.web.schemas import Moment, Name, RequestModel, ResponseModel, Timestamp


class ApiKeyCreate(RequestModel):
    name: Name
    scopes: Annotated[list[Permission], Field(min_length=1, max_length=len(Permission))]
    expires_at: Moment | None = None


class ApiKeyOut(ResponseModel):
    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    expires_at: Timestamp | None
    created_at: Timestamp


class ApiKeyCreated(ApiKeyOut):
    """`key` is shown this once; only its hash is kept."""

    key: str
