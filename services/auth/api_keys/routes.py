from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from services.auth.api_keys import service
from services.auth.api_keys.errors import AlreadyExpired, ScopeTooWide
from services.auth.api_keys.schemas import ApiKeyCreate, ApiKeyCreated, ApiKeyOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import Caller, Person, ReadDb, WriteDb, requires
from shared.web.errors import NotFound, responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(tags=["api keys"])


def _writer(_: Annotated[Principal, Depends(requires(Permission.API_KEYS_WRITE))], person: Person) -> Principal:
    """A key makes no keys: one that leaked could live on in others when it has expired or been revoked."""
    return person


Writer = Annotated[Principal, Depends(_writer)]


@router.get("/api-keys")
async def list_api_keys(session: ReadDb, caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Page[ApiKeyOut]:
    """The caller's own live keys, newest first."""
    return await service.list_keys(session, caller, limit, cursor)


@router.post(
    "/api-keys",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, ScopeTooWide, AlreadyExpired),
)
async def create_api_key(request: ApiKeyCreate, session: WriteDb, caller: Writer) -> ApiKeyCreated:
    return await service.create(session, caller, request)


@router.delete("/api-keys/{key_id}", status_code=status.HTTP_204_NO_CONTENT, responses=responses(NotAllowed, NotFound))
async def revoke_api_key(key_id: UUID, session: WriteDb, caller: Writer) -> None:
    """The key stops working within seconds."""
    await service.revoke(session, caller, key_id)
