"""API keys: each belongs to the person who made it and never does more than that person may."""

from uuid import UUID

from services.auth.api_keys import repository
from services.auth.api_keys.errors import AlreadyExpired, ScopeTooWide
from services.auth.api_keys.schemas import ApiKeyCreate, ApiKeyCreated, ApiKeyOut
from shared.auth.api_keys import format_key, hash_secret, new_secret
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.auth import ApiKey
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.web.errors import ErrorDetail, NotFound
from shared.web.pagination import Page, decode_cursor, page


async def list_keys(session: ReadSession, principal: Principal, limit: int, cursor: str | None) -> Page[ApiKeyOut]:
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    rows = await repository.keys_of(session, principal.user_id, after, limit + 1)
    return page(rows, limit, _out, lambda row: (row.id,))


async def create(session: WriteSession, principal: Principal, request: ApiKeyCreate) -> ApiKeyCreated:
    excess = [scope for scope in request.scopes if not principal.may(scope)]
    if excess:
        raise ScopeTooWide(
            details=[ErrorDetail(field="scopes", message=f"you may not {scope}", code="too_wide") for scope in excess]
        )
    if request.expires_at is not None and request.expires_at <= utcnow():
        raise AlreadyExpired
    secret = new_secret()
    key = ApiKey(
        id=new_id(),
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        name=request.name,
        secret_hash=hash_secret(secret),
        scopes=sorted(set(request.scopes)),
        expires_at=request.expires_at,
    )
    session.add(key)
    await session.flush()
    await session.refresh(key)
    return ApiKeyCreated(**_out(key).model_dump(), key=format_key(key.id, secret))


async def revoke(session: WriteSession, principal: Principal, key_id: UUID) -> None:
    key = await repository.get_key(session, principal.user_id, key_id)
    if key is None:
        raise NotFound
    key.revoked_at = utcnow()


def _out(key: ApiKey) -> ApiKeyOut:
    return ApiKeyOut(
        id=key.id,
        name=key.name,
        prefix=format_key(key.id, ""),
        scopes=key.scopes,
        expires_at=key.expires_at,
        created_at=key.created_at,
    )
