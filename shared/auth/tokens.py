"""Access tokens: ES256 JWTs by python-jose, and the key ring that signs and verifies them.

What a verifier must not leave to the token is fixed here: the algorithm, the header's members, the issuer, the
audience, the type and the claims. See RFC 8725.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jwt
from jose.constants import ALGORITHMS
from jose.exceptions import JOSEError
from sqlalchemy import delete, select, text

from shared.database.session import Database, Scope
from shared.database.tables.auth import SigningKey
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.security.encryption import Cipher, Place

AUDIENCE = "quarterdeck-api"
TOKEN_TYPE = "at+jwt"
MAX_TOKEN_BYTES = 8192
KEY_LIFE = timedelta(days=30)
# A flood of unknown key ids reads the key set at most this often, in seconds.
RELOAD_INTERVAL = 10.0
_HEADER = {"alg", "kid", "typ"}
_KEY_LOCK = 0x51_44_4B_45_59


class InvalidToken(Exception):
    pass


@dataclass(frozen=True, slots=True)
class AccessClaims:
    user_id: UUID
    tenant_id: UUID
    session_id: UUID
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str
    private_pem: str
    public_jwk: JsonObject
    public: Any
    rotates_at: datetime


class KeyRing:
    """The installation's signing keys, shared by all processes through the database, sealed at rest.

    A key signs for 30 days and verifies until the last token that it signed has run out.
    """

    def __init__(self, database: Database, cipher: Cipher, token_life: timedelta) -> None:
        self._database = database
        self._cipher = cipher
        self._token_life = token_life
        self._keys: dict[str, _Key] = {}
        self._loaded_at = float("-inf")
        self._lock = asyncio.Lock()

    async def signing_key(self) -> _Key:
        if (key := self._current()) is None:
            async with self._lock:
                await self._load(create=True)
            key = self._current()
            assert key is not None, "a key was just made"
        return key

    async def verifying_key(self, kid: str) -> Any | None:
        """The public key of that id, in python-jose's form; None when there is no such key."""
        if kid not in self._keys and time.monotonic() - self._loaded_at > RELOAD_INTERVAL:
            async with self._lock:
                if time.monotonic() - self._loaded_at > RELOAD_INTERVAL:
                    await self._load(create=False)
        key = self._keys.get(kid)
        return key.public if key else None

    async def public_set(self) -> JsonObject:
        """The JWKS document."""
        await self.signing_key()
        return {"keys": [key.public_jwk for key in self._keys.values()]}

    def _current(self) -> _Key | None:
        usable = [key for key in self._keys.values() if key.rotates_at > utcnow()]
        return max(usable, key=lambda key: key.rotates_at, default=None)

    async def _load(self, *, create: bool) -> None:
        async with self._database.write(Scope()) as session:
            if create:
                await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY_LOCK})
            await session.execute(delete(SigningKey).where(SigningKey.expires_at < utcnow()))
            rows = list((await session.scalars(select(SigningKey))).all())
            if create and not any(row.rotates_at > utcnow() for row in rows):
                row = self._make()
                session.add(row)
                rows.append(row)
            self._keys = {row.kid: self._open(row) for row in rows}
        self._loaded_at = time.monotonic()

    def _make(self) -> SigningKey:
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        kid = new_id().hex
        public_pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        public = jwk.construct(public_pem.decode(), ALGORITHMS.ES256).to_dict()
        rotates_at = utcnow() + KEY_LIFE
        return SigningKey(
            kid=kid,
            private_key=self._cipher.seal(pem, Place("signing_keys", "private_key", kid)),
            public_jwk={**public, "kid": kid, "use": "sig", "alg": ALGORITHMS.ES256},
            rotates_at=rotates_at,
            expires_at=rotates_at + self._token_life + timedelta(minutes=5),
        )

    def _open(self, row: SigningKey) -> _Key:
        pem = self._cipher.open(row.private_key, Place("signing_keys", "private_key", row.kid))
        return _Key(row.kid, pem, row.public_jwk, jwk.construct(row.public_jwk, ALGORITHMS.ES256), row.rotates_at)


class TokenIssuer:
    def __init__(self, ring: KeyRing, issuer: str, life: timedelta) -> None:
        self._ring = ring
        self._issuer = issuer
        self.life = life

    async def issue(self, user_id: UUID, tenant_id: UUID, session_id: UUID) -> str:
        key = await self._ring.signing_key()
        now = utcnow()
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "tid": str(tenant_id),
            "sid": str(session_id),
            "jti": new_id().hex,
            "iat": int(now.timestamp()),
            "exp": int((now + self.life).timestamp()),
        }
        return jwt.encode(
            claims, key.private_pem, algorithm=ALGORITHMS.ES256, headers={"kid": key.kid, "typ": TOKEN_TYPE}
        )

    async def verify(self, token: str) -> AccessClaims:
        """Raises InvalidToken for anything but a live token that this installation issued for its own API."""
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidToken
        try:
            header: dict[str, Any] = jwt.get_unverified_header(token)
        except JOSEError as error:
            raise InvalidToken from error
        # `jwk`, `jku`, `x5u` would let a token bring its own key, `crit` asks for what we do not know.
        if set(header) != _HEADER or header["alg"] != ALGORITHMS.ES256 or header["typ"] != TOKEN_TYPE:
            raise InvalidToken
        key = await self._ring.verifying_key(str(header["kid"]))
        if key is None:
            raise InvalidToken
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHMS.ES256],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={f"require_{name}": True for name in ("aud", "iat", "exp", "iss", "sub", "jti")},
            )
            return AccessClaims(UUID(claims["sub"]), UUID(claims["tid"]), UUID(claims["sid"]), float(claims["exp"]))
        except (JOSEError, KeyError, ValueError, TypeError) as error:
            raise InvalidToken from error
