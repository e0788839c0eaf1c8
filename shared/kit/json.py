"""JSON as this project speaks it: orjson, one canonical form, one content hash."""

import hashlib
from typing import Any, TypeAlias

import orjson

# What json.loads may give. `Any` inside containers: a recursive alias makes every caller cast.
Json: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
JsonObject: TypeAlias = dict[str, Any]


def dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def loads(text: str | bytes) -> Any:
    return orjson.loads(text)


def canonical(value: Any) -> bytes:
    """Bytes that are equal exactly when the values are: sorted keys, no white space."""
    return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)


def content_hash(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
