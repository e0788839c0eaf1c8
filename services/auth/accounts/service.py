"""Sign-up, sign-in and sessions. These run before it is known whose rows may be touched, so this service opens its
own transactions, each under the scope it has just proved.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.auth.accounts import repository
from services.auth.accounts.errors import EmailTaken, SessionEnded, WrongCredentials, WrongPassword
from services.auth.accounts.schemas import Login, Me, Register, UpdateMe, UserTenant
from shared.auth.passwords import hash_password, needs_rehash, verify_password
from shared.auth.permissions import Role
from shared.auth.principal import Principal
from shared.database.session import ReadSession, Scope, WriteSession, is_unique_violation
from shared.database.tables.auth import LoginSession, Membership, RefreshToken, Tenant, User
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.llm.defaults import local_model_row
from shared.web.resources import Resources
from shared.web.throttle import Throttle

# Of one person from one address, so that nobody locks out another.
WRONG_PASSWORDS = "10/15 minutes"


@dataclass(frozen=True, slots=True)
class SignedIn:
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_max_age: int


class AccountService:
    def __init__(self, app: Resources) -> None:
        self._app = app

    async def register(self, request: Register) -> SignedIn:
        """Makes a person and a tenant of his own, with the local model in it, and signs him in."""
        password_hash = await hash_password(request.password.get_secret_value())
        user = User(id=new_id(), email=request.email, display_name=request.display_name, password_hash=password_hash)
        tenant = Tenant(id=new_id(), name=request.tenant_name or f"{request.display_name}'s team")
        try:
            async with self._app.database.write(Scope(tenant.id, user.id)) as session:
                session.add(user)
                await create_tenant(session, tenant, user.id)
                return await self._sign_in(session, user.id, tenant.id)
        except IntegrityError as error:
            if is_unique_violation(error, "uq_users_email"):
                raise EmailTaken from error
            raise

    async def login(self, request: Login, client: str) -> SignedIn:
        """`client` is the caller's address."""
        await self._app.throttle.check(WRONG_PASSWORDS, "login", client, request.email)
        async with self._app.database.read(Scope()) as session:
            found = await repository.find_user(session, request.email)
        password = request.password.get_secret_value()
        right = await verify_password(password, found.password_hash if found else None)
        if found is None or not right or found.disabled_at is not None:
            raise WrongCredentials
        await self._app.throttle.forget(WRONG_PASSWORDS, "login", client, request.email)
        return await self._enter(found.id, password if needs_rehash(found.password_hash) else None)

    async def _enter(self, user_id: UUID, rehash: str | None) -> SignedIn:
        async with self._app.database.read(Scope(user_id=user_id)) as session:
            tenant_id = await repository.first_tenant(session, user_id)
        if tenant_id is None:
            raise WrongCredentials
        new_hash = await hash_password(rehash) if rehash else None
        async with self._app.database.write(Scope(tenant_id, user_id)) as session:
            if new_hash:
                (await repository.get_user(session, user_id)).password_hash = new_hash
            return await self._sign_in(session, user_id, tenant_id)

    async def refresh(self, token: str | None) -> SignedIn:
        """Spends the refresh token for a new one. A token that was spent before ends its whole family."""
        token_hash = _hash(token or "")
        async with self._app.database.write(Scope()) as session:
            found = await repository.find_refresh_token(session, token_hash)
            if found is None or found.revoked_at or found.expires_at <= utcnow():
                raise SessionEnded
            if found.used_at is None:
                await session.set_scope(Scope(found.tenant_id, found.user_id))
                if not await repository.is_active_member(session, found.tenant_id, found.user_id):
                    raise SessionEnded
                await repository.mark_used(session, found.id)
                refresh_token = _add_refresh_token(session, found.session_id, found.tenant_id)
                return await self._answer(found.user_id, found.tenant_id, found.session_id, refresh_token)
        async with self._app.database.write(Scope(found.tenant_id, found.user_id)) as session:
            await repository.revoke(session, [found.session_id], "refresh token used twice")
        raise SessionEnded

    async def logout(self, token: str) -> None:
        """Ends the session that the refresh token belongs to."""
        async with self._app.database.write(Scope()) as session:
            found = await repository.find_refresh_token(session, _hash(token))
            if found is not None:
                await session.set_scope(Scope(found.tenant_id, found.user_id))
                await repository.revoke(session, [found.session_id], "logout")

    async def end_session(self, principal: Principal) -> None:
        if principal.session_id is None:
            return
        async with self._app.database.write(principal.scope) as session:
            await repository.revoke(session, [principal.session_id], "logout")

    async def switch(self, principal: Principal, tenant_id: UUID) -> SignedIn:
        """Signs the caller in to another tenant; the caller must have checked that he is a member."""
        async with self._app.database.write(Scope(tenant_id, principal.user_id)) as session:
            return await self._sign_in(session, principal.user_id, tenant_id)

    async def _sign_in(self, session: WriteSession, user_id: UUID, tenant_id: UUID) -> SignedIn:
        login = LoginSession(
            id=new_id(), tenant_id=tenant_id, user_id=user_id, expires_at=utcnow() + self._session_life
        )
        session.add(login)
        await session.flush()
        refresh_token = _add_refresh_token(session, login.id, tenant_id)
        return await self._answer(user_id, tenant_id, login.id, refresh_token)

    async def _answer(self, user_id: UUID, tenant_id: UUID, session_id: UUID, refresh_token: str) -> SignedIn:
        return SignedIn(
            access_token=await self._app.tokens.issue(user_id, tenant_id, session_id),
            expires_in=int(self._app.tokens.life.total_seconds()),
            refresh_token=refresh_token,
            refresh_max_age=int(self._session_life.total_seconds()),
        )

    @property
    def _session_life(self) -> timedelta:
        return timedelta(days=self._app.settings.session_days)


async def create_tenant(session: WriteSession, tenant: Tenant, owner_id: UUID) -> None:
    """A new tenant with its first owner and the local model. The session's scope must be that tenant and user."""
    session.add(tenant)
    await session.flush()
    session.add(Membership(tenant_id=tenant.id, user_id=owner_id, role=Role.OWNER))
    session.add(local_model_row(tenant.id))
    await session.flush()


async def read_me(session: ReadSession, principal: Principal) -> Me:
    user = await repository.get_user(session, principal.user_id)
    tenant = await repository.get_tenant(session, principal.tenant_id)
    return Me(
        id=user.id,
        email=user.email,
        display_name=user.display_name,
        created_at=user.created_at,
        tenant=UserTenant.model_validate(tenant),
        role=principal.role,
        permissions=sorted(principal.permissions),
    )


async def update_me(
    session: WriteSession, throttle: Throttle, principal: Principal, request: UpdateMe, client: str
) -> Me:
    """`client` is the caller's address: whoever holds a stolen session may not guess the password at leisure."""
    if request.current_password is not None:
        await throttle.check(WRONG_PASSWORDS, "password", client, str(principal.user_id))
    user = await repository.get_user(session, principal.user_id)
    if request.display_name is not None:
        user.display_name = request.display_name
    if request.current_password is not None and request.new_password is not None:
        if not await verify_password(request.current_password.get_secret_value(), user.password_hash):
            raise WrongPassword
        user.password_hash = await hash_password(request.new_password.get_secret_value())
        await _end_other_sessions(session, principal)
        await throttle.forget(WRONG_PASSWORDS, "password", client, str(principal.user_id))
    await session.flush()
    return await read_me(session, principal)


async def _end_other_sessions(session: WriteSession, principal: Principal) -> None:
    """In all tenants of the person; a session is a row of the tenant that it was signed in to."""
    await session.flush()
    for tenant_id in await repository.tenants_of(session, principal.user_id):
        await session.set_scope(Scope(tenant_id, principal.user_id))
        others = await repository.other_sessions(session, principal.user_id, principal.session_id)
        await repository.revoke(session, others, "password changed")
    await session.set_scope(principal.scope)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _add_refresh_token(session: WriteSession, session_id: UUID, tenant_id: UUID) -> str:
    token = secrets.token_urlsafe(32)
    session.add(RefreshToken(session_id=session_id, tenant_id=tenant_id, token_hash=_hash(token)))
    return token
