"""One way to sort a list and to find the place of a page in it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

Columns = TypeVarTuple("Columns")


@dataclass(frozen=True, slots=True)
class Sorting:
    """By `column`, then by `tie_break`, an id, which makes it total.

    `read` makes a value of the column from what a cursor holds.
    """

    column: InstrumentedAttribute[Any]
    tie_break: InstrumentedAttribute[Any]
    descending: bool
    read: Callable[[str], Any]

    def page(self, statement: Select[*Columns], after: tuple[Any, UUID] | None, limit: int) -> Select[*Columns]:
        """The first `limit` rows, or those that come after the row of these keys."""
        keys: tuple[Any, Any] = (self.column, self.tie_break)
        statement = statement.order_by(*(key.desc() if self.descending else key for key in keys)).limit(limit)
        if after is None:
            return statement
        place = tuple_(*keys)
        return statement.where(place < after if self.descending else place > after)


def by_time(column: InstrumentedAttribute[datetime], id: InstrumentedAttribute[UUID], *, descending: bool) -> Sorting:
    return Sorting(column, id, descending, datetime.fromisoformat)


def by_name(column: InstrumentedAttribute[str], id: InstrumentedAttribute[UUID], *, descending: bool) -> Sorting:
    return Sorting(column, id, descending, _text)


def _text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("no name has a NUL")
    return value
