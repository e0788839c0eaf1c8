"""When a schedule fires: a cron expression on the clocks of a time zone.

As Debian's cron has it when clocks are put forward or back: a fixed time that is left out fires when the clocks go on,
one that comes twice fires the first time. What fires every hour or every so many minutes fires by elapsed time.
"""

import functools
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
MAX_CRON = 200
# A time that is found due this late still counts as kept: workers were restarted, or had much to do.
ON_TIME = timedelta(minutes=1)
# Of what was missed, so much is made up for at most: the latest.
MOST_MADE_UP = 100

_FIRST_SPAN = timedelta(hours=2)
# What machines call their own zone is not the same everywhere.
_NOT_ZONES = frozenset({"localtime", "Factory", "posixrules"})


class Missed(StrEnum):
    """What becomes of times that passed while nothing ran: nothing, the last of them fires, or each of them."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


class CronInvalid(ValueError):
    """The message says which field is wrong, and is fit to be shown."""


class TimeZoneUnknown(ValueError):
    """The message is fit to be shown."""


@functools.cache
def time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - _NOT_ZONES


def check_time_zone(name: str) -> str:
    """`name`; raises `TimeZoneUnknown`."""
    if name not in time_zones():
        raise TimeZoneUnknown(f"there is no time zone {name[:100]!r}: give its IANA name, as in Europe/Berlin")
    return name


def check_cron(cron: str) -> str:
    """`cron` with single blanks; raises `CronInvalid`."""
    if len(cron) > MAX_CRON:
        raise CronInvalid(f"may have at most {MAX_CRON} characters")
    parts = cron.split()
    if len(parts) != len(FIELDS):
        raise CronInvalid(f"has five fields ({', '.join(FIELDS)}), but here are {len(parts)}")
    for place, (name, part) in enumerate(zip(FIELDS, parts, strict=True)):
        alone = ["*"] * len(FIELDS)
        alone[place] = part
        if not _is_cron(" ".join(alone)):
            raise CronInvalid(f"the {name} is wrong: {part!r}")
    text = " ".join(parts)
    if not _is_cron(text) or Schedule(text, "UTC").after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise CronInvalid("never fires: there is no such day")
    return text


def _is_cron(text: str) -> bool:
    try:
        CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError):  # it asserts where a step has no meaning, as in L/2
        return False
    return text.isascii()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Of a cron expression and a time zone that were checked. All moments are UTC."""

    cron: str
    time_zone: str

    def times(self, after: datetime) -> Iterator[datetime]:
        """Those later than `after`, one by one, for as long as there are any."""
        last = after
        for local in CronSim(self.cron, after.astimezone(ZoneInfo(self.time_zone))):
            moment = local.astimezone(UTC)
            # In an hour that comes twice, it names times that were in the first of the two.
            if moment > last:
                last = moment
                yield moment

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`."""
        return next(self.times(moment), None)

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        return list(islice(self.times(moment), count))

    def due(self, first: datetime, now: datetime) -> list[datetime]:
        """The times from `first` (one of them) to `now`; of many the latest, a little over `MOST_MADE_UP`."""
        span = _FIRST_SPAN
        while True:
            # Looked for from the end: after a year away, a schedule of every minute has half a million of them.
            start = max(first, now - span)
            found = [first] if start == first else []
            for moment in self.times(start):
                if moment > now:
                    break
                found.append(moment)
            if start == first or len(found) > MOST_MADE_UP:
                return found
            span *= 4


def to_fire(due: Sequence[datetime], now: datetime, missed: Missed) -> Sequence[datetime]:
    """Which of the times that are due fire, in their order."""
    on_time = [moment for moment in due if now - moment <= ON_TIME]
    match missed:
        case Missed.SKIP:
            return on_time
        case Missed.LAST:
            return on_time or due[-1:]
        case Missed.ALL:
            return due[-MOST_MADE_UP:]
