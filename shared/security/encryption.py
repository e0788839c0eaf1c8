"""Secrets at rest: AES-256-GCM, each value bound to the one place it was written for.

Layout of a sealed value: version (1 byte), length of the key id (1 byte), key id, nonce (12 bytes), ciphertext
with its tag. The associated data is the place and the key id, so that a value copied to another tenant, row or
column, or re-labelled with another key, does not open.
"""

import base64
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 1
_NONCE_BYTES = 12
_KEY_BYTES = 32


class CannotDecrypt(Exception):
    """The value was written for another place, with a key that is gone, or was tampered with."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret lives. `tenant_id` is None for secrets of the installation itself."""

    table: str
    column: str
    row: UUID | str
    tenant_id: UUID | None = None

    def associated_data(self, key_id: str) -> bytes:
        return "\x1f".join((str(self.tenant_id or "-"), self.table, self.column, str(self.row), key_id)).encode()


class Cipher:
    def __init__(self, keys: dict[str, bytes]) -> None:
        """`keys` by id, in order: the first seals, every one opens."""
        if not keys:
            raise ValueError("no master key: set QUARTERDECK_MASTER_KEYS to kid:base64 of 32 random bytes")
        for key_id, key in keys.items():
            if len(key) != _KEY_BYTES:
                raise ValueError(f"master key {key_id!r} has {len(key)} bytes, it needs {_KEY_BYTES}")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))

    @classmethod
    def from_setting(cls, text: str) -> "Cipher":
        """`text` is "kid:base64,kid:base64", as in QUARTERDECK_MASTER_KEYS."""
        pairs = (part.split(":", 1) for part in text.split(",") if part.strip())
        return cls({key_id.strip(): base64.b64decode(encoded) for key_id, encoded in pairs})

    def seal(self, secret: str, place: Place) -> bytes:
        key_id = self._current.encode()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, secret.encode(), place.associated_data(self._current))
        return bytes((_VERSION, len(key_id))) + key_id + nonce + sealed

    def open(self, value: bytes, place: Place) -> str:
        """Raises CannotDecrypt; says nothing about why, on purpose."""
        try:
            version, key_length = value[0], value[1]
            key_id = value[2 : 2 + key_length].decode()
            nonce_end = 2 + key_length + _NONCE_BYTES
            cipher = self._ciphers[key_id]
            if version != _VERSION:
                raise CannotDecrypt
            plain = cipher.decrypt(value[2 + key_length : nonce_end], value[nonce_end:], place.associated_data(key_id))
        except (InvalidTag, KeyError, IndexError, ValueError) as error:
            raise CannotDecrypt from error
        return plain.decode()
