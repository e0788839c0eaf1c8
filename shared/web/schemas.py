"""Bases of what goes over the wire: requests refuse what they do not know, answers leave nothing out."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PlainSerializer, StringConstraints


class RequestModel(BaseModel):
    """An unknown field is an error: `tenant_id`, `owner`, `role` in a body are never taken, not even silently."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class ResponseModel(BaseModel):
    """No defaults in subclasses: the generated TypeScript types come out non-optional."""

    model_config = ConfigDict(from_attributes=True)


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    text.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return text


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999, in UTC too") from None


Text = Annotated[str, AfterValidator(_no_nul)]
# With the white space at its ends; everything else is stripped of it.
Verbatim = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(_no_nul)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_no_nul)]
LongText = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_no_nul)]
Money = Annotated[Decimal, PlainSerializer(lambda value: f"{value.normalize():f}", return_type=str)]
Timestamp = Annotated[datetime, AfterValidator(_utc)]
# A moment that a caller names: one without a time zone is refused.
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
