"""How often a page in the web is to be fetched again, as it is kept."""

from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from shared.auth.principal import Principal
from shared.kit.clock import utcnow

_HOUR = 3600


class Refresh(TypedDict):
    refresh_seconds: int | None
    refresh_at: datetime | None
    refresh_by: UUID | None


def refresh_every(hours: int | None, caller: Principal) -> Refresh:
    """The columns of a document that this caller has fetched again so often; None: never."""
    if hours is None:
        return Refresh(refresh_seconds=None, refresh_at=None, refresh_by=None)
    return Refresh(
        refresh_seconds=hours * _HOUR,
        refresh_at=utcnow() + timedelta(hours=hours),
        refresh_by=caller.user_id,
    )


def hours_of(refresh_seconds: int | None) -> int | None:
    return None if refresh_seconds is None else refresh_seconds // _HOUR
