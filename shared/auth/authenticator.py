"""Who is calling: from the Authorization header to a Principal.

What a token or key says is checked against the database at most every two seconds, so that a disabled person,
a lower role, a logout or a revoked key takes effect everywhere within five.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import UUID as PgUuid

from shared.auth.api_keys import PREFIX, parse_key
from shared.auth.errors import NotAuthenticated
from shared.auth.permissions import PERMISSIONS, Permission, Role
from shared.auth.principal import Principal
from shared.auth.tokens import InvalidToken, TokenIssuer
from shared.database.session import Database, ReadSession, Scope
from shared.database.tables.auth import LoginSession, Membership, User
from shared.kit.clock import utcnow

FRESH_SECONDS = 2.0
CACHE_SIZE = 10_000

_FIND_API_KEY = text("SELECT * FROM auth_find_api_key(:id)").bindparams(bindparam("id", type_=PgUuid(as_uuid=True)))


@dataclass(frozen=True, slots=True)
class _Remembered:
    principal: Principal
    until: float
    expires_at: float


class Authenticator:
    def __init__(self, database: Database, tokens: TokenIssuer) -> None:
        self._database = database
        self._tokens = tokens
        self._known: OrderedDict[str, _Remembered] = OrderedDict()
        self._under_way: dict[str, asyncio.Future[_Remembered]] = {}

    async def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an `Authorization: Bearer ...` header; raises NotAuthenticated."""
        scheme, _, credential = (authorization or "").partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise NotAuthenticated
        known = self._known.get(credential)
        if known and known.until > time.monotonic() and known.expires_at > time.time():
            return known.principal
        return (await self._prove_once(credential)).principal

    async def _prove_once(self, credential: str) -> _Remembered:
        """Of many requests that need the same credential proved again, one asks and the others wait for its answer."""
        proving = self._under_way.get(credential)
        if proving is None:
            proving = asyncio.ensure_future(self._prove(credential))
            self._under_way[credential] = proving
            proving.add_done_callback(lambda done: self._settle(credential, done))
        return await asyncio.shield(proving)

    def _settle(self, credential: str, done: asyncio.Future[_Remembered]) -> None:
        del self._under_way[credential]
        self._known.pop(credential, None)
        if not done.cancelled() and done.exception() is None:
            self._known[credential] = done.result()
            if len(self._known) > CACHE_SIZE:
                self._known.popitem(last=False)

    async def _prove(self, credential: str) -> _Remembered:
        return await (self._by_key(credential) if credential.startswith(PREFIX) else self._by_token(credential))

    async def _by_token(self, token: str) -> _Remembered:
        try:
            claims = await self._tokens.verify(token)
        except InvalidToken as error:
            raise NotAuthenticated from error
        async with self._database.read(Scope(claims.tenant_id, claims.user_id)) as session:
            alive = await session.scalar(
                select(LoginSession.id).where(
                    LoginSession.id == claims.session_id,
                    LoginSession.user_id == claims.user_id,
                    LoginSession.revoked_at.is_(None),
                    LoginSession.expires_at > utcnow(),
                )
            )
            if alive is None:
                raise NotAuthenticated
            role = await active_role(session, claims.tenant_id, claims.user_id)
        principal = Principal(claims.user_id, claims.tenant_id, role, PERMISSIONS[role], session_id=claims.session_id)
        return _Remembered(principal, time.monotonic() + FRESH_SECONDS, claims.expires_at)

    async def _by_key(self, credential: str) -> _Remembered:
        presented = parse_key(credential)
        if presented is None:
            raise NotAuthenticated
        async with self._database.read(Scope()) as session:
            row = (await session.execute(_FIND_API_KEY, {"id": presented.id})).one_or_none()
        if row is None or row.revoked_at or _past(row.expires_at) or not presented.matches(row.secret_hash):
            raise NotAuthenticated
        async with self._database.read(Scope(row.tenant_id, row.user_id)) as session:
            role = await active_role(session, row.tenant_id, row.user_id)
        # A key never outlives what its maker may do himself.
        allowed = PERMISSIONS[role] & {permission for permission in Permission if permission.value in row.scopes}
        principal = Principal(row.user_id, row.tenant_id, role, allowed, api_key_id=presented.id)
        expires_at = row.expires_at.timestamp() if row.expires_at else float("inf")
        return _Remembered(principal, time.monotonic() + FRESH_SECONDS, expires_at)


async def active_role(session: ReadSession, tenant_id: UUID, user_id: UUID) -> Role:
    """The person's role in the tenant; raises NotAuthenticated when he is no member, or disabled."""
    role = await session.scalar(
        select(Membership.role)
        .join(User, User.id == Membership.user_id)
        .where(Membership.tenant_id == tenant_id, Membership.user_id == user_id, User.disabled_at.is_(None))
    )
    if role is None:
        raise NotAuthenticated
    return Role(role)


async def acting_for(
    session: ReadSession, tenant_id: UUID, user_id: UUID | None, permission: Permission
) -> Principal | None:
    """The person, when something is done for him that nobody asked for just now; None when he may not do that any
    more."""
    try:
        role = None if user_id is None else await active_role(session, tenant_id, user_id)
    except NotAuthenticated:
        return None
    if role is None or user_id is None:
        return None
    caller = Principal(user_id, tenant_id, role, PERMISSIONS[role])
    return caller if caller.may(permission) else None


def _past(moment: datetime | None) -> bool:
    return moment is not None and moment <= utcnow()
