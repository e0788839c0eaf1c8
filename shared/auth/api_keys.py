"""API keys: `qd_<id>_<secret>`. The id finds the row, the secret is compared by its hash.

The secret has 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

PREFIX = "qd_"
_ID_HEX = 32


@dataclass(frozen=True, slots=True)
class PresentedKey:
    id: UUID
    secret_hash: bytes

    def matches(self, stored: bytes) -> bool:
        return hmac.compare_digest(self.secret_hash, stored)


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def format_key(key_id: UUID, secret: str) -> str:
    return f"{PREFIX}{key_id.hex}_{secret}"


def parse_key(text: str) -> PresentedKey | None:
    """None when `text` has not the shape of a key."""
    body = text.removeprefix(PREFIX)
    key_id, separator, secret = body[:_ID_HEX], body[_ID_HEX : _ID_HEX + 1], body[_ID_HEX + 1 :]
    if not text.startswith(PREFIX) or separator != "_" or not secret or len(secret) > 100:
        return None
    try:
        return PresentedKey(UUID(hex=key_id), hash_secret(secret))
    except ValueError:
        return None
