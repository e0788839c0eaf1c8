"""JSON as Postgres can hold it.

A model's answer or a user's input may contain NUL characters and halves of surrogate pairs, which JSON allows and
Postgres refuses, numbers that no JSON knows, and nesting without end. What cannot be held is replaced by what
shows it, so that one odd character costs a character and not an execution.
"""

import json
import math
from datetime import datetime
from typing import Any, cast

import orjson

TOO_DEEP = "[nested too deeply]"
_DEEPEST = 200  # orjson stops at 254
_ESCAPED_NUL = b"\\u0000"


def storable(value: Any) -> Any:
    """`value` itself when Postgres can hold it, else a copy in which what is odd is written out: a NUL becomes
    the six characters `\\u0000`. As JSON, the answer equals what is read back from the database later."""
    try:
        raw = orjson.dumps(value, default=str)
    except TypeError:
        return _written_out(value)
    return _written_out(value) if _ESCAPED_NUL in raw else value


def dump_storable(value: Any) -> bytes:
    """JSON text that Postgres accepts as jsonb, whatever strings and numbers `value` contains."""
    try:
        raw = orjson.dumps(value, default=str)
    except TypeError:
        return _dump_odd(value)
    return _dump_odd(value) if _ESCAPED_NUL in raw else raw


def _dump_odd(value: Any) -> bytes:
    # The standard library's encoder: orjson refuses integers of more than 64 bits.
    return json.dumps(_written_out(value), ensure_ascii=False, default=_other, separators=(",", ":")).encode()


def _other(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _written_out(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return TOO_DEEP
    match value:
        case str():
            return _text(value)
        case dict():
            members = cast("dict[Any, Any]", value)
            return {_text(str(key)): _written_out(item, depth + 1) for key, item in members.items()}
        case list() | tuple():
            return [_written_out(item, depth + 1) for item in cast("list[Any]", value)]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _text(text: str) -> str:
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()
