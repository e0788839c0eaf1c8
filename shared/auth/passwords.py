"""Passwords: argon2id by libpass, hashed off the event loop and never too many at once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

from passlib.handlers.argon2 import argon2  # pyright: ignore[reportMissingTypeStubs] - libpass ships no types


class _Hasher(Protocol):
    def hash(self, secret: str) -> str: ...
    def verify(self, secret: str, hash: str) -> bool: ...
    def needs_update(self, hash: str) -> bool: ...


# Found now: looked for at the first hash, by two threads at once, one of them would fail.
cast(Any, argon2).set_backend()

# OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
_hasher: _Hasher = cast(Any, argon2).using(type="ID", memory_cost=19 * 1024, time_cost=2, parallelism=1)

# Each hash holds 19 MiB and a core: two at a time, so that a flood of sign-ins starves nobody else.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")

_decoy: str | None = None


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(password: str, hashed: str | None) -> bool:
    """False for a wrong password. With no hash (unknown user) it takes as long as with one."""
    global _decoy
    if hashed is None:
        _decoy = _decoy or await hash_password("a password that nobody has")
        await _verify(password, _decoy)
        return False
    return await _verify(password, hashed)


async def _verify(password: str, hashed: str) -> bool:
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.verify, password, hashed)


def needs_rehash(hashed: str) -> bool:
    return _hasher.needs_update(hashed)
