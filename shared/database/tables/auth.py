"""Tables of the auth service: who there is, in which tenant, with which role and credentials."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Tenant(Identified, Timestamped, Base):
    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(Text)
    # How many executions of this tenant may run at once, over all workers.
    max_running: Mapped[int] = mapped_column(default=200, server_default="200")


class User(Identified, Timestamped, Base):
    """A person. Not owned by a tenant: one person may be a member of several."""

    __tablename__ = "users"

    # Stored in lower case; the service folds what a person types.
    email: Mapped[str] = mapped_column(Text, unique=True)
    display_name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    disabled_at: Mapped[datetime | None]


class Membership(TenantOwned, Timestamped, Base):
    __tablename__ = "memberships"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(Text)


class LoginSession(Identified, TenantOwned, Timestamped, Base):
    """A family of refresh tokens: made at login, ended by logout or by reuse of a spent token."""

    __tablename__ = "login_sessions"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(Text)


class RefreshToken(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "refresh_tokens"

    session_id: Mapped[UUID] = mapped_column(ForeignKey("login_sessions.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    used_at: Mapped[datetime | None]


class ApiKey(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "api_keys"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SigningKey(Base):
    """An ES256 key of the installation. No tenant: tokens of all tenants are signed with it."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    private_key: Mapped[bytes] = mapped_column(LargeBinary)
    public_jwk: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # Signs until `rotates_at`; verifies until `expires_at`, when the last token it signed has run out.
    rotates_at: Mapped[datetime]
    expires_at: Mapped[datetime]
