"""Regular expressions written by users. RE2 matches in linear time, so no pattern can hold a process."""

from functools import lru_cache
from typing import Any

import re2 as _re2  # pyright: ignore[reportMissingTypeStubs]

_library: Any = _re2

MAX_PATTERN = 1_000
_MAX_PROGRAM_BYTES = 1 << 20


class PatternError(ValueError):
    """The pattern is too long or not of RE2's dialect; the message says why."""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Any:
    """The compiled pattern, with re's `search`. Raises `PatternError`."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"a pattern may have at most {MAX_PATTERN} characters")
    options: Any = _library.Options()
    options.log_errors = False
    options.max_mem = _MAX_PROGRAM_BYTES
    try:
        return _library.compile(pattern, options)
    except _library.error as error:
        raise PatternError(f"the pattern {pattern!r} is not understood: {error}") from None
