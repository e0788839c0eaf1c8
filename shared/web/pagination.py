"""One way to page: by keyset. `?limit=&cursor=` in, `{"items", "next_cursor"}` out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from shared.kit.json import dumps, loads
from shared.web.errors import ErrorDetail, Invalid

T = TypeVar("T")
R = TypeVar("R")

Limit = Annotated[int, Query(ge=1, le=200, description="How many items at most.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None


def encode_cursor(*keys: Any) -> str:
    """Opaque to clients: the sort keys of the last item shown."""
    return base64.urlsafe_b64encode(dumps([str(key) for key in keys]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: Callable[[str], Any]) -> tuple[Any, ...]:
    """The keys put in by `encode_cursor`, each made by its type again; Invalid when it is not one of ours."""
    try:
        keys = loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(keys) != len(types) or not all(isinstance(key, str) for key in keys):
            raise ValueError
        return tuple(make(key) for make, key in zip(types, keys, strict=True))
    except (ValueError, TypeError, ArithmeticError, binascii.Error) as error:
        detail = ErrorDetail(field="query.cursor", message="is not one that this list gave out", code="cursor")
        raise Invalid(
            "The cursor is not one that this list gave out: start again without one.", details=[detail]
        ) from error


def page(rows: Sequence[R], limit: int, shape: Callable[[R], T], key: Callable[[R], tuple[Any, ...]]) -> Page[T]:
    """`rows` were fetched with LIMIT limit + 1: the surplus one says that there is a next page."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(
        items=[shape(row) for row in shown], next_cursor=encode_cursor(*key(shown[-1])) if more and shown else None
    )
