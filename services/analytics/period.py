from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query

from shared.kit.clock import utcnow
from shared.web.errors import ErrorDetail, Invalid
from shared.web.schemas import Moment

USUAL = timedelta(days=30)
LONGEST = timedelta(days=731)


@dataclass(frozen=True, slots=True)
class Period:
    """`start` included, `end` not, so that periods that follow one another count nothing twice."""

    start: datetime
    end: datetime


def _period(
    start: Annotated[Moment | None, Query(alias="from", description="30 days before `to` if left out.")] = None,
    end: Annotated[Moment | None, Query(alias="to", description="Not included; now if left out.")] = None,
) -> Period:
    try:
        end = end or utcnow()
        start = start or end - USUAL
        length = end - start
    except OverflowError:
        raise _invalid("query.from", "is out of range") from None
    if length <= timedelta(0):
        raise _invalid("query.to", "must be later than `from`")
    if length > LONGEST:
        raise _invalid("query.from", f"must be at most {LONGEST.days} days before `to`")
    return Period(start, end)


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("This is not a period.", details=[ErrorDetail(field=field, message=message, code="period")])


InPeriod = Annotated[Period, Depends(_period)]
