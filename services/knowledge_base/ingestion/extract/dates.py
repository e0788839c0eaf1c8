"""Dates as documents write them, as RFC 3339."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_ISO = re.compile(r"\s*(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?(?:[T ].*|\s*)", re.S)
_OLDEST = 1000


def rfc3339(moment: datetime) -> str | None:
    """In UTC; a moment without a zone is taken for one."""
    try:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z") if moment.year >= _OLDEST else None


def from_iso(text: str) -> str | None:
    """Of a date, or a date and a time; a year or a month alone is its first day."""
    text = text.strip()
    try:
        return rfc3339(datetime.fromisoformat(text))
    except ValueError:
        found = _ISO.fullmatch(text)
    if found is None:
        return None
    try:
        return rfc3339(datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1), tzinfo=UTC))
    except ValueError:
        return None


def from_mail(text: str) -> str | None:
    try:
        return rfc3339(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
